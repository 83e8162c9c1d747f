package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// rawOutage is what an availability gate has besides what all gates have.
type rawOutage struct {
	target      rawTarget
	from        []probe.Vantage
	every       time.Duration
	connections []gates.Connection
	past, deep  *rawPage
	slow        time.Duration
	connect     time.Duration
	response    time.Duration
	controls    []rawControl
	budget      rawBudget
	strict      bool
	onBlind     string
	baseline    time.Duration
	longest     time.Duration
}

// rawTarget is one of the two.
type rawTarget struct {
	gate upgrade.GateName
	path *rawPath
}

// rawPage is another page of the target's host.
type rawPage struct {
	page   string
	every  time.Duration
	slow   time.Duration
	expect rawExpect
}

// rawControl is reached by one of the two.
type rawControl struct {
	name     string
	tcp, url string
	every    time.Duration
	status   []int
	from     []probe.Vantage
}

type rawBudget struct {
	longest, total time.Duration
	failed, slow   string
	classes        []pair[time.Duration]
}

// Bounds of availability gates. Connections have a bound of their own: from a second on Linux sends a lost SYN
// again, and an outage shows as a late answer instead of none.
const (
	leastEvery      = 10 * time.Millisecond
	leastSlow       = 10 * time.Millisecond
	mostEvery       = 5 * time.Second
	mostPageEvery   = time.Minute
	beyondConnect   = time.Second
	leastConnect    = 50 * time.Millisecond
	readableConnect = time.Minute // more than a second is read, to be refused with the reason
)

// What a gate does about a time in which nobody could see.
const (
	blindUnknown = "unknown"
	blindFail    = "fail"
)

func outageFields() []field[rawGate] {
	return []field[rawGate]{
		required("path", "What is probed: the name of a varnish gate, whose first path it is, or a path of its own.", nameOrPath(), func(g *rawGate) *rawTarget { return &g.outage.target }),
		optional("from", "Vantages that probe; default: here.", set(name[probe.Vantage]("a vantage"), 1), func(g *rawGate) *[]probe.Vantage { return &g.outage.from }),
		lasting("every", "How often each address is probed, from each vantage.", leastEvery, mostEvery, gates.DefaultEvery, func(g *rawGate) *time.Duration { return &g.outage.every }),
		optional("connections", "Over which connections the path is probed; default: both. They see different outages.", set(choice("connection", []gates.Connection{gates.ConnFresh, gates.ConnKept}, nil), 1), func(g *rawGate) *[]gates.Connection { return &g.outage.connections }),
		given("past_cache", "Probes past the cache, of a small file; default: the path itself, once per second, if it has a bypass.", pageShape(gates.DefaultPastEvery), func(g *rawGate) **rawPage { return &g.outage.past }),
		given("deep_page", "Probes of a page that the cache never has; default: none.", pageShape(gates.DefaultDeepEvery), func(g *rawGate) **rawPage { return &g.outage.deep }),
		lasting("slow", "How long a good answer of the path may take before it counts as slow; budget.slow_ratio says how many may.", leastSlow, time.Minute, gates.DefaultSlow, func(g *rawGate) *time.Duration { return &g.outage.slow }),
		lasting("connect_timeout", "How long connecting may take, TLS included: less than 1s.", leastConnect, readableConnect, gates.DefaultConnect, func(g *rawGate) *time.Duration { return &g.outage.connect }),
		lasting("response_timeout", "How long the first byte of an answer may take, and the rest.", 100*time.Millisecond, time.Minute, gates.DefaultResponse, func(g *rawGate) *time.Duration { return &g.outage.response }),
		optional("control", "What must fail independently of the site: while it is out too, the network of the vantage fails.", list(controlShape(), 1), func(g *rawGate) *[]rawControl { return &g.outage.controls }),
		optional("budget", "How much outage an apply may cause.", budgetShape(), func(g *rawGate) *rawBudget { return &g.outage.budget }),
		defaulted("strict", "What is perhaps over the budget, as far as probes can tell, is over it.", flag(), false, func(g *rawGate) *bool { return &g.outage.strict }),
		defaulted("on_blind", "What a time means in which nobody could see: unknown is could not tell; fail is a no.", choice("answer", []string{blindUnknown, blindFail}, nil), blindUnknown, func(g *rawGate) *string { return &g.outage.onBlind }),
		lasting("baseline", "How long the site is watched before an apply, in which it must be well.", 200*time.Millisecond, 5*time.Minute, gates.DefaultBaseline, func(g *rawGate) *time.Duration { return &g.outage.baseline }),
		lasting("max_duration", "How long an apply is watched at most: what comes later nobody could tell.", time.Minute, 12*time.Hour, gates.DefaultWatch, func(g *rawGate) *time.Duration { return &g.outage.longest }),
	}
}

func budgetShape() shape[rawBudget] {
	return object(
		lasting("longest", "The longest outage.", 40*time.Millisecond, time.Hour, gates.DefaultLongest, func(b *rawBudget) *time.Duration { return &b.longest }),
		lasting("total", "All outages together.", 40*time.Millisecond, time.Hour, gates.DefaultTotal, func(b *rawBudget) *time.Duration { return &b.total }),
		defaulted("failed_ratio", "Part of the probes of any stream that may fail one by one, in no outage.", word[string](ratioRule), "1%", func(b *rawBudget) *string { return &b.failed }),
		defaulted("slow_ratio", "Part of the probes of any stream that may be answered slowly, in no outage.", word[string](ratioRule), "1%", func(b *rawBudget) *string { return &b.slow }),
		optional("by_class", "How long outages of one class may be together; 0s: not even one probe may fail so. Of slow: for how long answers may be slow.", dictionary(word[string](classRule), duration(0, time.Hour), 0), func(b *rawBudget) *[]pair[time.Duration] { return &b.classes }),
	)
}

func pageShape(every time.Duration) shape[rawPage] {
	return object(
		required("page", "Path and query of a page of the same host.", word[string](pageRule), func(p *rawPage) *string { return &p.page }),
		lasting("every", "How often it is probed.", leastEvery, mostPageEvery, every, func(p *rawPage) *time.Duration { return &p.every }),
		optional("slow", "How long a good answer of it may take before it counts as slow; default: none is too slow.", duration(leastSlow, time.Minute), func(p *rawPage) *time.Duration { return &p.slow }),
		optional("expect", "What a good answer looks like.", expectShape(), func(p *rawPage) *rawExpect { return &p.expect }),
	)
}

func controlShape() shape[rawControl] {
	return object(
		required("name", "Name of the control.", name[string]("a control"), func(c *rawControl) *string { return &c.name }),
		optional("tcp", "Host and port that must take connections.", word[string](hostPortRule), func(c *rawControl) *string { return &c.tcp }),
		optional("url", "Address of a page of another site.", httpOrHTTPS(), func(c *rawControl) *string { return &c.url }),
		defaulted("status", "Status of a good answer, or a list of them.", oneOrMore(number[int](100, 599)), []int{200}, func(c *rawControl) *[]int { return &c.status }),
		lasting("every", "How often it is probed.", leastEvery, mostEvery, gates.DefaultControlEvery, func(c *rawControl) *time.Duration { return &c.every }),
		optional("from", "Vantages that probe it; default: those of the gate.", set(name[probe.Vantage]("a vantage"), 1), func(c *rawControl) *[]probe.Vantage { return &c.from }),
	)
}

// pageRule is for the path of a page, with its query.
func pageRule(s string) (wrong, hint string) {
	u, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || u.Host != "" || u.Fragment != "" {
		return quoted(s) + " is not the path of a page", "write it as in /gate.txt"
	}
	return "", ""
}

// hostPortRule is for a host, by name or address, with a port.
func hostPortRule(s string) (wrong, hint string) {
	if _, _, ok := hostPort(s); !ok {
		return quoted(s) + " is not a host with a port", "write it as in 10.20.0.1:53"
	}
	return "", ""
}

func hostPort(s string) (host string, port uint16, ok bool) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return addr.Addr().String(), addr.Port(), addr.Port() != 0
	}
	host, text, found := strings.Cut(s, ":")
	if !found || host == "" || text == "" || strings.ContainsAny(host, "/@[]?# ") {
		return "", 0, false
	}
	port, ok = parsePort(text)
	return host, port, ok && port != 0
}

// ratioRule is for a part in percent.
func ratioRule(s string) (wrong, hint string) {
	if _, ok := ratio(s); !ok {
		return quoted(s) + " is not a part in percent", "write it as in 0.1%, from 0.01% to 50%"
	}
	return "", ""
}

func ratio(s string) (float64, bool) {
	text, found := strings.CutSuffix(s, "%")
	value, err := strconv.ParseFloat(text, 64)
	if !found || err != nil || strings.ContainsAny(text, "eExXpP_+iInN") || value < 0.01 || value > 50 {
		return 0, false
	}
	return value / 100, true
}

// classRule is for what a probe may meet.
func classRule(s string) (wrong, hint string) {
	var known []string
	for _, class := range probe.Failures() {
		if string(class) == s {
			return "", ""
		}
		known = append(known, string(class))
	}
	if hint := didYouMean(s, known); hint != "" {
		return quoted(s) + " is nothing that a probe meets", hint
	}
	return quoted(s) + " is nothing that a probe meets", "there is " + strings.Join(known, ", ")
}
