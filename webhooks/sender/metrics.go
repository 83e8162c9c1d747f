package sender

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

// collectWithin bounds what a look at the metrics may ask of the store.
const collectWithin = 2 * time.Second

// metrics are what operators watch of subscriptions. Names of subscriptions are the only open label: there are at most
// maxHooks of them.
type metrics struct {
	room     *Room
	posts    *prometheus.CounterVec
	messages *prometheus.Desc
	active   *prometheus.Desc
}

func newMetrics(r *Room) *metrics {
	return &metrics{
		room: r,
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "upgradegate_hook_posts_total", Help: "Events that were posted to receivers, by what came of it: delivered, failed (to be tried again), dead, gone.",
		}, []string{"hook", "result"}),
		messages: prometheus.NewDesc("upgradegate_hook_messages", "Events that wait to be delivered to a receiver, or were given up after three days.", []string{"hook", "state"}, nil),
		active:   prometheus.NewDesc("upgradegate_hook_active", "1 for a subscription that is delivered to, 0 for one that is paused or whose receiver is gone.", []string{"hook"}, nil),
	}
}

// Register gives the room's metrics to a registry.
func (r *Room) Register(to prometheus.Registerer) error { return to.Register(r.metrics) }

// Describe tells the metrics' names.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	m.posts.Describe(to)
	to <- m.messages
	to <- m.active
}

// Collect counts. What cannot be counted now is left out, so that its absence shows.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.posts.Collect(to)
	ctx, cancel := context.WithTimeout(context.Background(), collectWithin)
	defer cancel()
	hooks, err := m.room.shelf.Hooks(ctx)
	if err != nil {
		m.room.log.WarnContext(ctx, "messages on their way could not be counted", "err", err)
		return
	}
	for _, h := range hooks {
		active := 0.0
		if h.State == upgrade.HookActive {
			active = 1
		}
		to <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, active, string(h.Name))
		to <- prometheus.MustNewConstMetric(m.messages, prometheus.GaugeValue, float64(h.Pending), string(h.Name), string(upgrade.MessagePending))
		to <- prometheus.MustNewConstMetric(m.messages, prometheus.GaugeValue, float64(h.Dead), string(h.Name), string(upgrade.MessageDead))
	}
}

// posted counts a try.
func (m *metrics) posted(name upgrade.HookName, state upgrade.MessageState, gone bool) {
	result := "failed"
	switch {
	case gone:
		result = "gone"
	case state == upgrade.MessageDelivered:
		result = "delivered"
	case state == upgrade.MessageDead:
		result = "dead"
	}
	m.posts.WithLabelValues(string(name), result).Inc()
}
