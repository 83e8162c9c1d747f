package server

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// wireMark is one step of Terraform's.
type wireMark struct {
	Address string    `json:"address"`
	Action  string    `json:"action"`
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"` // left out while it goes on
	Failed  bool      `json:"failed"`
}

// wireWatch is what a gate watched, without the single probes.
type wireWatch struct {
	Began   time.Time    `json:"began,omitzero"`
	Long    float64      `json:"long_seconds"`
	Limit   float64      `json:"limit_seconds"`       // for one outage
	Total   float64      `json:"total_limit_seconds"` // for all of them
	Coarse  bool         `json:"coarse"`
	Streams []wireStream `json:"streams"`
	Outages []wireOutage `json:"outages"`
	CSV     string       `json:"csv"` // address of the single probes
}

type wireStream struct {
	Vantage string  `json:"vantage"`
	Target  string  `json:"target"`
	Stream  string  `json:"stream"`
	Address string  `json:"address,omitempty"` // left out: lookups of the name
	Control bool    `json:"control"`
	Every   float64 `json:"every_seconds"`
	Sent    int     `json:"sent"`
	Failed  int     `json:"failed"`
	Unsent  int     `json:"unsent"`
	P50     float64 `json:"p50_seconds"`
	P99     float64 `json:"p99_seconds"`
	Max     float64 `json:"max_seconds"`
}

type wireOutage struct {
	Stream  int       `json:"stream"` // place in streams, from 0
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"` // left out: it had not ended
	Best    float64   `json:"best_seconds"`
	Certain float64   `json:"certain_seconds"`
	Most    float64   `json:"most_seconds"`
	Class   string    `json:"class"`
	Layer   string    `json:"layer,omitempty"`
	Status  int       `json:"status,omitempty"`
	Words   string    `json:"words,omitempty"`
	Own     bool      `json:"own_network"`     // a control was out too: not charged to the site
	Steps   []string  `json:"steps,omitempty"` // addresses of Terraform's steps that may have been under way
	While   string    `json:"while,omitempty"`
}

func wireWatchOf(run upgrade.RunID, r upgrade.Result) *wireWatch {
	w := r.Evidence.Watch
	if w == nil {
		return nil
	}
	out := &wireWatch{
		Began: utc(w.Began), Long: w.Long.Seconds(), Limit: w.Limit.Seconds(), Total: w.Total.Seconds(), Coarse: w.Coarse,
		Streams: []wireStream{}, Outages: []wireOutage{}, CSV: csvLink(run, r, "", csvProbes).Href,
	}
	for _, s := range w.Strips {
		out.Streams = append(out.Streams, wireStream{
			Vantage: s.Vantage, Target: s.Target, Stream: s.Stream, Address: s.Address, Control: s.Control, Every: s.Every.Seconds(),
			Sent: s.Sent, Failed: s.Failed, Unsent: s.Unsent, P50: s.P50.Seconds(), P99: s.P99.Seconds(), Max: s.Max.Seconds(),
		})
	}
	for _, o := range w.Outages {
		one := wireOutage{
			Stream: o.Strip, From: utc(w.Began.Add(o.From)), To: utc(w.Began.Add(o.To)), Best: o.Best.Seconds(), Certain: o.Certain.Seconds(), Most: o.Most.Seconds(),
			Class: o.Class, Layer: o.Layer, Status: o.Status, Words: o.Words, Own: o.Own, While: o.While,
		}
		if o.Open {
			one.To = time.Time{}
		}
		for _, m := range o.Marks {
			if m >= 0 && m < len(r.Evidence.Marks) {
				one.Steps = append(one.Steps, r.Evidence.Marks[m].Address)
			}
		}
		out.Outages = append(out.Outages, one)
	}
	return out
}
