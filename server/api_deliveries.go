package server

import (
	"encoding/json"
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
	w := wireDeliveryOf(d)
	// Whoever sees the body sees what its senders wrote, as GitLab shows it to those who may act there.
	if upgrade.May(person(c), upgrade.ActReadBodies, upgrade.Object{Name: "delivery " + string(id), Project: d.Hint.Project}) == nil {
		w.Body = shown(d.Body)
	}
	writeJSON(c, http.StatusOK, jsonType, w)
	return nil
}

// shown returns a body as it is told: without the variables of a pipeline, whose values may be secret. Of
// one that is no JSON object nothing is told.
func shown(body []byte) json.RawMessage {
	const attributes, variables = "object_attributes", "variables"
	var all, inner map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil || all == nil {
		return nil
	}
	if err := json.Unmarshal(all[attributes], &inner); err != nil || inner[variables] == nil {
		return body
	}
	inner[variables] = json.RawMessage("[]")
	var err error
	if all[attributes], err = json.Marshal(inner); err != nil {
		return nil
	}
	if body, err = json.Marshal(all); err != nil {
		return nil
	}
	return body
}

// played is the answer to the post that has a delivery looked at anew.
type played struct {
	Delivery upgrade.DeliveryID `json:"delivery"` // what comes of it is found there
}

func (s *Server) apiPlay(c *gin.Context) error {
	id := upgrade.DeliveryID(c.Param("id"))
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		next, err := s.acts.PlayAgain(c.Request.Context(), id, person(c))
		if err != nil {
			return 0, nil, err
		}
		return http.StatusAccepted, played{Delivery: next}, nil
	})
}
