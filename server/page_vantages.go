package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// vantagesPage is the places from which is probed.
type vantagesPage struct {
	Headline string
	List     vantageList
	Enrol    []string // commands, in their order
	Place    string   // of the first command; empty: a name of one's own
}

// vantageList is the part that is fetched again and again.
type vantageList struct {
	Rows  []vantageRow
	Empty bool // there is no agent
}

type vantageRow struct {
	Name, Host, Version string
	Asks                string // who probes from there
	Chip                chip
	Does                string // what the state means, and what to do
	Command             string // with which it is done; empty: none
	Heard               when
	Clock, Within       string
	Reaches             []string
	Limits              string
	Watches             []watchRow
}

type watchRow struct {
	Target, Streams string
	Since           when
}

func (s *Server) vantageRoutesOfPages(g *gin.RouterGroup) {
	g.GET("/vantages", s.page(s.vantagesPage))
	g.GET("/vantages/parts/list", s.page(s.vantagesPart))
}

func (s *Server) vantagesPage(c *gin.Context) error {
	page, err := s.vantagesView(c.Request.Context())
	if err != nil {
		return err
	}
	l := s.layout(c, page.Headline, page)
	// Agents live in real time, whatever the world's clock shows.
	l.Now = s.keys.now().UTC().Format("2006-01-02T15:04:05.000Z")
	l.Stream = "/events?scope=env" // of the environments; it says whether the service is there
	l.TabIcon = "tick.svg"
	for _, row := range page.List.Rows {
		if row.Chip.Tone == upgrade.ToneWarn {
			l.TabIcon = tabIcon(upgrade.ToneWarn)
		}
	}
	return s.show(c, http.StatusOK, "vantages", l)
}

func (s *Server) vantagesPart(c *gin.Context) error {
	page, err := s.vantagesView(c.Request.Context())
	if err != nil {
		return err
	}
	return s.showPart(c, "vantages", "part-vantages", page.List)
}

func (s *Server) vantagesView(ctx context.Context) (vantagesPage, error) {
	all, err := s.agents.Agents(ctx)
	if err != nil {
		return vantagesPage{}, fmt.Errorf("list agents: %w", err)
	}
	w := words{now: s.keys.now(), zone: s.zone}
	page := vantagesPage{List: vantageList{Empty: len(all) == 0}}
	here := vantageRow{
		Name: "here", Host: "the host of this service", Version: s.version, Asks: strings.Join(s.askedFrom["here"], ", "),
		Chip: chip{Word: "At work", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}, Does: "It probes what no vantage is named for.",
		Limits: "public addresses, and what network.allow lists",
	}
	page.List.Rows = []vantageRow{here}
	there, gone := 0, 0
	for _, a := range all {
		row := s.vantageRow(a, w)
		page.List.Rows = append(page.List.Rows, row)
		switch state := s.wireAgent(a, w.now).State; {
		case a.Unlisted:
		case state == "enrolled":
			there++
		case state == "gone":
			gone++
		case page.Place == "":
			page.Place = string(a.Name)
		}
	}
	page.Headline = vantagesHeadline(len(all), there, gone)
	name := page.Place
	if name == "" {
		name = "NAME"
	}
	page.Enrol = []string{
		"upgradegate vantage enrol " + name,
		fmt.Sprintf(`UPGRADEGATE_AGENT_TOKEN=uga_… upgradegate agent --gate %s --allow "10.20.0.0/16:80,443"`, s.publicURL),
	}
	return page, nil
}

func vantagesHeadline(known, there, gone int) string {
	switch {
	case known == 0:
		return "Everything is probed from this service's own host."
	case gone == 1 && there == 0:
		return "The agent is gone: what it watches cannot be told."
	case gone == 1:
		return fmt.Sprintf("1 of %s is gone: what it watches cannot be told.", plural(there+1, "agent"))
	case gone > 0:
		return fmt.Sprintf("%d of %s are gone: what they watch cannot be told.", gone, plural(there+gone, "agent"))
	case there == 0:
		return "No agent is enrolled."
	case there == 1:
		return "1 agent is at work."
	}
	return fmt.Sprintf("All %d enrolled agents are at work.", there)
}

func (s *Server) vantageRow(a upgrade.Agent, w words) vantageRow {
	row := vantageRow{
		Name: string(a.Name), Host: a.Facts.Host, Version: a.Facts.Version, Asks: strings.Join(s.askedFrom[a.Name], ", "), Heard: w.ago(a.HeardAt),
		Reaches: a.Facts.Allow, Watches: watchRows(a.Watches, w),
	}
	if a.Facts.MaxRate > 0 {
		row.Limits = fmt.Sprintf("%g probes a second, %s at a time", a.Facts.MaxRate, span(a.Facts.MaxDuration))
	}
	if !a.Facts.MeasuredAt.IsZero() {
		row.Clock, row.Within = signedSpan(a.Facts.Offset), "± "+tenths(a.Facts.RTT/2)
	}
	enrol := "upgradegate vantage enrol " + string(a.Name)
	switch s.wireAgent(a, w.now).State {
	case "enrolled":
		row.Chip = chip{Word: "At work", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}
	case "gone":
		row.Chip = chip{Word: "Gone", Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn}
		row.Does = "Gates that probe from it cannot tell. Start it on its host, or look there at why it does not reach this service:"
		row.Command = "journalctl -u upgradegate-agent"
	case "invited":
		row.Chip = chip{Word: "Invited", Icon: upgrade.IconWait, Tone: upgrade.ToneIdle}
		row.Does = fmt.Sprintf("%s made a token for it, good until %s. It has not been used.", a.InvitedBy, w.stamp(a.TokenUntil).Text)
	case "revoked":
		row.Chip = chip{Word: "Revoked", Icon: upgrade.IconLock, Tone: upgrade.ToneIdle}
		row.Does, row.Command = fmt.Sprintf("By %s, %s. To let it in again:", a.RevokedBy, w.stamp(a.RevokedAt).Text), enrol
	default:
		row.Chip = chip{Word: "Never enrolled", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
		row.Does, row.Command = "Gates that probe from it cannot tell. Make a token for it:", enrol
	}
	if a.Unlisted {
		row.Does, row.Command = "It is no vantage of the configuration any more, and is not let in.", ""
		row.Chip = chip{Word: "Not configured", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
	}
	return row
}

// watchRows puts the streams of one target together.
func watchRows(list []upgrade.AgentWatch, w words) []watchRow {
	var rows []watchRow
	at := map[string]int{}
	for _, one := range list {
		if i, ok := at[one.Target]; ok {
			rows[i].Streams += ", " + one.Stream
			continue
		}
		at[one.Target] = len(rows)
		rows = append(rows, watchRow{Target: one.Target, Streams: one.Stream, Since: w.ago(one.Since)})
	}
	return rows
}

// signedSpan is how far a clock is ahead (+) or behind (−).
func signedSpan(d time.Duration) string {
	if d < 0 {
		return "−" + tenths(-d)
	}
	return "+" + tenths(d)
}

// tenths is span with tenths of a millisecond below ten of them.
func tenths(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f%sms", float64(d)/float64(time.Millisecond), nb)
	}
	return span(d)
}
