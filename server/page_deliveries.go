package server

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// deliveriesPage is a list of what came in.
type deliveriesPage struct {
	Rows   []deliveryRow
	Next   string
	Filter []navItem
	Flash  string
	Key    string // makes a second sending of the same form have no second effect
	Off    string // why nothing is played again; empty: the reader may
}

func (s *Server) deliveriesPage(c *gin.Context) error {
	q := newQuery(c, "fate", "before", "played")
	f := upgrade.DeliveryFilter{Fates: q.fates(), Before: q.integer("before", 0, 0), Limit: pageSize + 1}
	if q.err != nil {
		return q.err
	}
	found, err := s.deliveries.Deliveries(c.Request.Context(), f)
	if err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}
	page, w := deliveriesPage{Key: rand.Text()}, s.words()
	cut := paged(c, found, pageSize, "before", func(d upgrade.Delivery) int64 { return d.Number })
	page.Next = cut.Next
	for _, d := range cut.Items {
		page.Rows = append(page.Rows, deliveryRowOf(d, w))
	}
	page.Filter = []navItem{{Title: "All", Path: "/deliveries", Current: len(f.Fates) == 0}}
	for _, fate := range fates() {
		page.Filter = append(page.Filter, navItem{
			Title: fateLook(fate).Word, Path: "/deliveries?fate=" + string(fate), Current: len(f.Fates) == 1 && f.Fates[0] == fate,
		})
	}
	if needs := upgrade.ActPlay.Needs(); !person(c).Highest().Includes(needs) {
		page.Off = "needs the role " + roleTitle(needs)
	}
	if id := q.values.Get("played"); id != "" {
		// The address may hold anything: what is said is what is kept.
		if d, err := s.deliveries.Delivery(c.Request.Context(), upgrade.DeliveryID(id)); err == nil {
			page.Flash = fmt.Sprintf("Played again, as No. %d. What comes of it is shown there.", d.Number)
		}
	}
	return s.show(c, http.StatusOK, "deliveries", s.layout(c, "Deliveries", page))
}

// replayable reports whether it makes sense to offer that a delivery is looked at anew.
func replayable(d upgrade.Delivery) bool {
	return d.Fate != upgrade.FatePending && d.Hint.Kind != upgrade.HintOther && d.Hint.Kind != upgrade.HintNote
}

// playDelivery has a delivery looked at anew, once for each form.
func (s *Server) playDelivery(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return badBody(err)
	}
	var next upgrade.DeliveryID
	replayed, kept, err := s.onceForm(c, func() (answer any, err error) {
		next, err = s.acts.PlayAgain(c.Request.Context(), upgrade.DeliveryID(c.Param("id")), person(c))
		return next, err
	})
	if err != nil {
		return err
	}
	if replayed {
		if err := json.Unmarshal(kept, &next); err != nil {
			return fmt.Errorf("read what was answered before: %w", err)
		}
	}
	c.Redirect(http.StatusSeeOther, "/deliveries?"+url.Values{"played": {string(next)}}.Encode())
	return nil
}
