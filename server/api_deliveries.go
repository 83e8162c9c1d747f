package server

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

func fates() []upgrade.Fate {
	return []upgrade.Fate{upgrade.FatePending, upgrade.FateStarted, upgrade.FateJoined, upgrade.FateRefused, upgrade.FateIgnored}
}

func (q *query) fates() []upgrade.Fate {
	var chosen []upgrade.Fate
	for _, raw := range q.values["fate"] {
		for name := range strings.SplitSeq(raw, ",") {
			known := false
			for _, f := range fates() {
				known = known || f == upgrade.Fate(name)
			}
			if !known {
				q.err = invalid("fate=%q is none of %v", name, fates())
				return nil
			}
			chosen = append(chosen, upgrade.Fate(name))
		}
	}
	return chosen
}

func (s *Server) apiDeliveries(c *gin.Context) error {
	q := newQuery(c, "fate", "before", "limit")
	limit := q.limit()
	f := upgrade.DeliveryFilter{Fates: q.fates(), Before: q.integer("before", 0, 0), Limit: limit + 1}
	if q.err != nil {
		return q.err
	}
	found, err := s.deliveries.Deliveries(c.Request.Context(), f)
	if err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}
	out := make([]wireDelivery, 0, len(found))
	for _, d := range found {
		out = append(out, wireDeliveryOf(d))
	}
	writeJSON(c, http.StatusOK, jsonType, paged(c, out, limit, "before", func(d wireDelivery) int64 { return d.Number }))
	return nil
}

func (s *Server) apiDelivery(c *gin.Context) error {
	id := upgrade.DeliveryID(c.Param("id"))
	d, err := s.deliveries.Delivery(c.Request.Context(), id)
	if err != nil {
		return fmt.Errorf("read delivery %s: %w", id, err)
	}
	writeJSON(c, http.StatusOK, jsonType, wireDeliveryOf(d))
	return nil
}
