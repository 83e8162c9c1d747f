package server

import (
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// tables are the pictures' numbers: each stream, each outage, each step of Terraform's.
func (s watched) tables() []tableView {
	out := []tableView{table(s.streamsTable())}
	if len(s.watch.Outages) > 0 {
		out = append(out, table(s.outagesTable()))
	}
	if len(s.marks) > 0 {
		out = append(out, table(s.stepsTable()))
	}
	if len(s.watch.Names) > 1 {
		out = append(out, table(s.namesTable()))
	}
	return out
}

func (s watched) streamsTable() upgrade.Table {
	t := upgrade.Table{Title: "Streams", Columns: []string{"Stream", "Where", "From", "Every", "Probes", "Failed", "Not sent", "Half within", "99 % within", "Slowest"}}
	for i, strip := range s.watch.Strips {
		row := s.row(i)
		where := strip.Target
		if strip.Address != "" {
			where += " at " + strip.Address
		}
		t.Rows = append(t.Rows, []string{
			row.Name, where, vantageName(strip.Vantage), exactly(strip.Every), thousands(strip.Sent), thousands(strip.Failed), thousands(strip.Unsent),
			exactly(strip.P50), exactly(strip.P99), exactly(strip.Max),
		})
	}
	return t
}

func (s watched) outagesTable() upgrade.Table {
	t := upgrade.Table{Title: "Outages", Columns: []string{"From", "To", "Stream", "Where", "Length", "Certainly", "At most", "What", "Terraform"}}
	for _, o := range s.watch.Outages {
		if o.Strip < 0 || o.Strip >= len(s.watch.Strips) {
			continue
		}
		strip, row := s.watch.Strips[o.Strip], s.row(o.Strip)
		to, what := s.tenth(o.To), o.Words
		if o.Open {
			to = "not ended"
		}
		if o.Own {
			what += "; a control was out too"
		}
		where := strip.Address
		if where == "" {
			where = "DNS"
		}
		while := o.While
		if while == "" && s.marks != nil {
			while = "no step"
		}
		t.Rows = append(t.Rows, []string{s.tenth(o.From), to, row.Name, where, exactly(o.Best), exactly(o.Certain), exactly(o.Most), what, while})
	}
	return t
}

func (s watched) stepsTable() upgrade.Table {
	t := upgrade.Table{Title: "Terraform's steps", Columns: []string{"From", "To", "Took", "What", "Resource"}}
	for _, m := range s.marks {
		from, to := s.stepSpan(m)
		until, took := s.tenth(to), exactly(to-from)
		switch {
		case m.Open:
			until, took = "not ended", ""
		case m.Failed:
			until += ", failed"
		}
		t.Rows = append(t.Rows, []string{s.tenth(from), until, took, done(m.Action), m.Address})
	}
	return t
}

func (s watched) namesTable() upgrade.Table {
	t := upgrade.Table{Title: "What the name meant", Columns: []string{"From", "Where", "Asked from", "Addresses"}}
	for _, n := range s.watch.Names {
		t.Rows = append(t.Rows, []string{s.tenth(n.At), n.Target, vantageName(n.Vantage), fmt.Sprint(n.Addresses)})
	}
	return t
}
