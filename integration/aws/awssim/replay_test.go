package awssim_test

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// exchange is one line of testdata/exchanges.jsonl: what the Terraform provider for AWS (5.32) asked, and
// what moto (5.2), another simulator, answered.
type exchange struct {
	Step, Service, Action string
	Request               map[string]any
	Status                int
	ResponseType          string `json:"response_type"`
	Response              string
}

// replay asks a simulator what the provider asked, with the ids that this simulator gave out.
type replay struct {
	*world

	who     caller
	ids     map[string]string // theirs → ours
	newest  map[string]string // kind → the latest of ours
	differs map[string]bool   // what is not the same in an answer
}

// TestProviderReplay plays the recorded requests of the real Terraform provider. Each must end with the
// status that it ended with there, with the same fields and values, and every parameter must be modelled.
// Where moto's answer is another, testdata/replay.differences says which of the two is like the real
// service's, and why.
//
// moto itself is not run beside it: it is a Python package, and Debian does not have it.
func TestProviderReplay(t *testing.T) {
	const account = "123456789012"
	w := newWorld(t, func(cfg *awssim.Config) {
		cfg.Account, cfg.Region, cfg.Timing.GrantDelay = account, "eu-west-1", -1
	})
	p := &replay{world: w, who: user(), ids: map[string]string{}, newest: map[string]string{}, differs: map[string]bool{}}
	p.who.region = "eu-west-1"
	w.sim.AddImage(awssim.Image{ID: "ami-03cf127a", Name: "Windows_Server-2016-English-Nano-Base-2017.10.13", Public: true})
	net := w.sim.Network("", "")
	p.newest["vpc"], p.newest["subnet"], p.newest["ami"] = net.VPC, net.Subnets[0], "ami-03cf127a"
	all := exchanges(t)
	built := false
	for i, x := range all {
		if x.Step == "update-ingress-rule" && !built {
			// From here on they had built everything a second time, which is not in the recording.
			built = true
			clear(p.ids)
			for _, again := range all {
				if again.Step == "create" {
					p.play(t, i, again, false)
				}
			}
		}
		p.play(t, i, x, true)
	}
	p.explained(t)
	for _, call := range w.sim.Calls() {
		if len(call.Unread) > 0 {
			t.Errorf("%s:%s does not model %v", call.Service, call.Action, call.Unread)
		}
	}
}

func exchanges(t *testing.T) []exchange {
	t.Helper()
	file, err := os.Open("testdata/exchanges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var out []exchange
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x exchange
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// play asks one recorded request. compared says whether the recorded answer is to be held against it.
func (p *replay) play(t *testing.T, line int, x exchange, compared bool) {
	t.Helper()
	p.clock.move(time.Second)
	if x.Action == "DeleteAutoScalingGroup" || x.Action == "DescribeAutoScalingGroups" && x.Step == "create" {
		p.clock.move(time.Minute) // the provider asks again and again; the recording has it once
	}
	where := fmt.Sprintf("exchange %d, %s: %s:%s", line+1, x.Step, x.Service, x.Action)
	var params []any
	for _, name := range slices.Sorted(maps.Keys(x.Request)) {
		if name != "Action" && name != "Version" {
			params = append(params, name, p.ours(x.Request[name], x))
		}
	}
	r := p.as(t, p.who, x.Service, x.Action, params...)
	if r.code == "InvalidPermission.NotFound" && strings.Contains(fmt.Sprint(params), "::/0") {
		p.differs["status RevokeSecurityGroupEgress InvalidPermission.NotFound"] = true
		return
	}
	if r.status != x.Status {
		t.Errorf("%s: %v\ngot %d %s: %s, want %d", where, params, r.status, r.code, r.message, x.Status)
		return
	}
	p.remember(r)
	theirs, whole := flatten(t, x.ResponseType, x.Response)
	ours := r.flatten()
	for place, values := range theirs {
		have := ours[place]
		for i, v := range values {
			if i < len(have) && p.ids[v] == "" && identifier.MatchString(v) && kind(v) == kind(have[i]) {
				p.ids[v] = have[i]
			}
		}
	}
	if compared {
		p.compare(x.Action, theirs, ours, whole)
	}
}

// compare notes what is in one answer only, and what has another value. Of an answer whose recording was
// cut, only what is there can be missed in ours.
func (p *replay) compare(action string, theirs, ours map[string][]string, whole bool) {
	for place, values := range theirs {
		switch have := ours[place]; {
		case len(have) == 0:
			p.differs["lacks "+action+" "+place] = true
		case !whole:
		case len(have) != len(values):
			p.differs["differs "+action+" "+place] = true
		default:
			for i, v := range values {
				if !same(v, have[i]) {
					p.differs["differs "+action+" "+place] = true
				}
			}
		}
	}
	for place := range ours {
		if whole && len(theirs[place]) == 0 {
			p.differs["adds "+action+" "+place] = true
		}
	}
}

// same reports whether two values say the same: what each service makes up, and times, need only be of
// one kind.
func same(theirs, ours string) bool {
	blank := func(v string) string { return made.ReplaceAllString(identifier.ReplaceAllString(v, "id"), "id") }
	return theirs == ours || blank(theirs) == blank(ours)
}

// made matches times, request ids and tokens.
var made = regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:.]+Z$|^1\.\d+e\+09$|^[A-Za-z0-9+/=]{40,}$|^request-id$`)

// explained holds the differences against those that testdata/replay.differences explains. A line is
// "KIND ACTION PLACE: why", where * stands for anything.
func (p *replay) explained(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile("testdata/replay.differences")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if what, why, ok := strings.Cut(line, ": "); ok && line[0] != '#' && why != "" {
			used[what] = false
		}
	}
	for _, difference := range slices.Sorted(maps.Keys(p.differs)) {
		known := false
		for what := range used {
			pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(what), `\*`, ".*") + "$"
			if regexp.MustCompile(pattern).MatchString(difference) {
				known, used[what] = true, true
			}
		}
		if !known {
			t.Errorf("not explained: %s", difference)
		}
	}
	for what, seen := range used {
		if !seen {
			t.Errorf("explained, but not so any more: %s", what)
		}
	}
}

// identifier matches what the services make up: ids with a prefix, of keys, and of grants.
var identifier = regexp.MustCompile(`\b(?:sgr|sg|lt|ami|vpc|subnet|i|eni)-[0-9a-f]{8,17}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{64}\b|^[0-9a-f]{8}$`)

func kind(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	switch {
	case strings.Count(id, "-") == 4:
		return "key"
	case !strings.Contains(id, "-"):
		return "grant"
	}
	return prefix
}

// ours puts our ids in the place of theirs. One that was never seen is the latest of its kind.
func (p *replay) ours(v any, x exchange) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	return identifier.ReplaceAllStringFunc(text, func(id string) string {
		if p.ids[id] == "" {
			of := kind(id)
			if of == "sgr" {
				of += fmt.Sprint(strings.Contains(x.Response, "<isEgress>true"))
			}
			p.ids[id] = p.newest[of]
		}
		return p.ids[id]
	})
}

// remember notes the latest of each kind.
func (p *replay) remember(r reply) {
	for _, place := range []string{"groupId", "launchTemplateId"} {
		if v := r.doc.text(place); v != "" {
			p.newest[kind(v)] = v
		}
	}
	for _, rule := range r.doc.all("securityGroupRuleSet") {
		for _, item := range rule.Kids {
			p.newest["sgr"+item.text("isEgress")] = item.text("securityGroupRuleId")
		}
	}
	if meta, ok := r.body["KeyMetadata"].(map[string]any); ok {
		p.newest["key"], _ = meta["KeyId"].(string)
	}
	if id := r.text("GrantId"); id != "" && r.body != nil {
		p.newest["grant"] = id
	}
}

// flatten returns the values of an answer by their place. One whose recording was cut is not whole.
func flatten(t *testing.T, kind, raw string) (places map[string][]string, whole bool) {
	t.Helper()
	if strings.Contains(kind, "json") {
		var body map[string]any
		if err := json.Unmarshal([]byte(raw), &body); err != nil {
			t.Fatal(err)
		}
		return reply{body: body}.flatten(), true
	}
	var doc element
	if err := xml.NewDecoder(strings.NewReader(raw)).Decode(&doc); err == nil {
		return reply{doc: doc}.flatten(), true
	}
	places = map[string][]string{}
	var path []string
	text := ""
	for d := xml.NewDecoder(strings.NewReader(raw)); ; {
		token, err := d.Token()
		if err != nil {
			return places, false
		}
		switch token := token.(type) {
		case xml.StartElement:
			path, text = append(path, token.Name.Local), ""
		case xml.CharData:
			text += string(token)
		case xml.EndElement:
			if place := strings.Join(path[1:], "/"); strings.TrimSpace(text) != "" {
				places[place] = append(places[place], text)
			}
			path, text = path[:len(path)-1], ""
		}
	}
}

func (r reply) flatten() map[string][]string {
	out := map[string][]string{}
	var walk func(place string, e element)
	walk = func(place string, e element) {
		if len(e.Kids) == 0 && strings.TrimSpace(e.Text) != "" {
			out[place] = append(out[place], e.Text)
		}
		for _, kid := range e.Kids {
			walk(strings.TrimPrefix(place+"/"+kid.XMLName.Local, "/"), kid)
		}
	}
	walk("", r.doc)
	var dig func(place string, v any)
	dig = func(place string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, kid := range v {
				dig(strings.TrimPrefix(place+"/"+key, "/"), kid)
			}
		case []any:
			for _, kid := range v {
				dig(place, kid)
			}
		case nil:
		default:
			out[place] = append(out[place], fmt.Sprint(v))
		}
	}
	dig("", r.body)
	return out
}
