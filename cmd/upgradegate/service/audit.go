package service

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

// auditHeadEvery is how often the log is told the head of the audit log, if there is a new one.
const auditHeadEvery = time.Hour

// tellAuditHead notes the head of the audit log in the log, at the start and every hour: logs go elsewhere, and somebody
// who can write to the database could make the whole chain anew. `audit verify --head` compares.
func (s *Service) tellAuditHead(ctx context.Context) error {
	ticker := time.NewTicker(auditHeadEvery)
	defer ticker.Stop()
	var told upgrade.AuditHead
	for {
		head, err := s.Store.AuditHead(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.WarnContext(ctx, "the head of the audit log could not be read", "err", err)
		case head != told:
			s.log.InfoContext(ctx, "head of the audit log", "head", head.String())
			told = head
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// auditEntries counts the entries of the audit log at each look: a number that falls is an alarm.
func (s *Service) auditEntries() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "upgradegate_audit_entries", Help: "Entries of the audit log, the number of its head. It never falls.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		head, err := s.Store.AuditHead(ctx)
		if err != nil {
			return math.NaN()
		}
		return float64(head.Seq)
	})
}
