package server

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// strip is what a stream saw that was answered all along but for some times.
type strip struct {
	name, address string
	every         time.Duration
	control       bool
	out           [][2]time.Duration
	class         string
}

// staged makes the watch of an apply that such strips were of, with all samples that lie near their outages.
func staged(long time.Duration, strips ...strip) *upgrade.Watch {
	w := &upgrade.Watch{Began: at("08:45:14"), Long: long, Limit: 500 * time.Millisecond, Total: 2 * time.Second}
	for i, one := range strips {
		s := upgrade.Strip{
			Vantage: "here", Target: "https://staging.example.org/", Stream: one.name, Address: one.address, Control: one.control, Every: one.every,
			P50: 3 * time.Millisecond, P99: 11 * time.Millisecond, Max: 48 * time.Millisecond,
			Buckets: upgrade.Buckets{Width: time.Second}, Samples: upgrade.Samples{Classes: []string{"ok", one.class}},
		}
		if one.control {
			s.Target, s.Address = "gateway", "10.20.0.1:53"
		}
		n := int(long / time.Second)
		b := &s.Buckets
		b.N, b.Good, b.P50, b.P99, b.Max, b.Lag = make([]int, n), make([]int, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
		for due := time.Duration(0); due < long; due += one.every {
			took, bad, near := 2000+int64(due/time.Millisecond)*7919%9000, false, false
			for _, o := range one.out {
				bad = bad || due >= o[0] && due < o[1]
				near = near || due >= o[0]-5*time.Second && due < o[1]+5*time.Second
			}
			at := min(int(due/time.Second), max(n-1, 0))
			s.Sent++
			if n > 0 {
				b.N[at]++
				if !bad {
					b.Good[at]++
					b.P50[at], b.P99[at], b.Max[at] = 3000, max(b.P99[at], took), max(b.Max[at], took)
				}
			}
			class := 0
			if bad {
				s.Failed++
				took, class = 800_000, 1
			}
			if near {
				s.Samples.At, s.Samples.Lag, s.Samples.Took = append(s.Samples.At, due.Microseconds()), append(s.Samples.Lag, 0), append(s.Samples.Took, took)
				s.Samples.Class, s.Samples.Status = append(s.Samples.Class, class), append(s.Samples.Status, 0)
			}
		}
		for _, o := range one.out {
			most := min(o[1]+one.every, long) - max(o[0]-one.every, 0)
			w.Outages = append(w.Outages, upgrade.Outage{
				Strip: i, From: max(o[0]-one.every, 0), To: min(o[1]+one.every, long), Most: most, Best: max(0, most-one.every), Certain: max(0, most-2*one.every),
				Open: o[1] >= long, Attempts: 9, Class: one.class, Layer: "TCP", Words: "new connections were not answered",
			})
		}
		w.Strips = append(w.Strips, s)
	}
	return w
}

// watchedApply is the incident's watch, with Terraform's steps: the site was out while a rule was replaced.
func watchedApply() (*upgrade.Watch, []upgrade.Mark) {
	out := [][2]time.Duration{{81 * time.Second, 82300 * time.Millisecond}}
	w := staged(
		243*time.Second,
		strip{name: "cached", address: "203.0.113.7:443", every: 100 * time.Millisecond, out: out, class: "tcp_timeout"},
		strip{name: "past the cache", address: "203.0.113.7:443", every: 200 * time.Millisecond, out: out, class: "tcp_timeout"},
		strip{name: "control", every: 200 * time.Millisecond, control: true, class: "tcp_timeout"},
	)
	w.Strips[1].Blind = []upgrade.Blind{{From: 150 * time.Second, To: 153 * time.Second, Most: 2800 * time.Millisecond}}
	step := func(address, action string, from, to float64) upgrade.Mark {
		since := func(s float64) time.Time { return w.Began.Add(time.Duration(s * float64(time.Second))) }
		return upgrade.Mark{Address: address, Action: action, From: since(from), To: since(to)}
	}
	marks := []upgrade.Mark{
		step("module.kms.aws_kms_grant.asg_ebs", "delete", 8, 41.2), step("module.edge.aws_cloudwatch_metric_alarm.varnish_5xx_v1", "delete", 12, 14),
		step("module.edge.aws_security_group_rule.varnish_in[0]", "replace", 80.9, 82.5), step("aws_launch_template.edge", "update", 96, 142), step("aws_lb_target_group.edge", "update", 150, 200),
	}
	for i := range w.Outages {
		o := &w.Outages[i]
		o.Marks, o.Sure, o.While = []int{2}, true, "while "+marks[2].Address+" was being replaced"
	}
	return w, marks
}
