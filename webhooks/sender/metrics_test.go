package sender

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

// gathered returns what a registry tells, a line for each number.
func gathered(t *testing.T, from prometheus.Gatherer) string {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			words := []string{strings.TrimPrefix(f.GetName(), "upgradegate_hook_")}
			for _, l := range m.GetLabel() {
				words = append(words, l.GetValue())
			}
			lines = append(lines, fmt.Sprint(strings.Join(words, " "), " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestMetrics: an operator sees what is delivered, what waits, and what was given up.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{answer: func(r *http.Request, _ int) int {
			if strings.Contains(r.Header.Get("Webhook-Id"), "evt_1_") {
				return http.StatusInternalServerError
			}
			return http.StatusNoContent
		}}
		r := open(t, s, to.ServeHTTP)
		registry := prometheus.NewRegistry()
		if err := r.Register(registry); err != nil {
			t.Fatal(err)
		}
		add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		defer start(t, r)()
		s.write(1, upgrade.EventNote, "one", nil)
		s.write(2, upgrade.EventNote, "two", nil)
		s.write(2, upgrade.EventNote, "three", nil)
		time.Sleep(time.Second)
		if got, want := gathered(t, registry), "active chat 1\nmessages chat dead 0\nmessages chat pending 1\nposts_total chat delivered 2\nposts_total chat failed 1"; got != want {
			t.Errorf("at first:\n%s\nwant:\n%s", got, want)
		}
		time.Sleep(4 * 24 * time.Hour)
		if _, err := r.PauseHook(t.Context(), "chat", "enough", admin()); err != nil {
			t.Fatal(err)
		}
		if got, want := gathered(t, registry), "active chat 0\nmessages chat dead 1\nmessages chat pending 0\nposts_total chat dead 1\nposts_total chat delivered 2\nposts_total chat failed 9"; got != want {
			t.Errorf("in the end:\n%s\nwant:\n%s", got, want)
		}
	})
}
