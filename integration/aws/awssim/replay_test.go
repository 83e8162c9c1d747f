package awssim_test

import (
	"bufio"
	"bytes"
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
	"github.com/upgradegate/upgradegate/internal/testkit"
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
	lacking map[string]bool   // places in an answer that only theirs has
}

// TestProviderReplay plays the recorded requests of the real Terraform provider. Each must end with the
// status that it ended with there, and every parameter must be modelled. Where moto answers more than
// this simulator does, testdata/replay.golden lists the place: moto keeps the network interfaces of
// instances that are gone.
func TestProviderReplay(t *testing.T) {
	const account = "123456789012"
	w := newWorld(t, func(cfg *awssim.Config) {
		cfg.Account, cfg.Region, cfg.Timing.GrantDelay = account, "eu-west-1", -1
	})
	p := &replay{world: w, who: user(), ids: map[string]string{}, newest: map[string]string{}, lacking: map[string]bool{}}
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
	places := slices.Sorted(maps.Keys(p.lacking))
	testkit.Golden(t, "testdata/replay.golden", []byte(strings.Join(places, "\n")+"\n"))
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
		return // the rule for IPv6 that the provider drops to be sure; EC2 has none here, moto does not look
	}
	if r.status != x.Status {
		t.Errorf("%s: %v\ngot %d %s: %s, want %d", where, params, r.status, r.code, r.message, x.Status)
		return
	}
	p.remember(r)
	theirs, ours := flatten(t, x.ResponseType, x.Response), r.flatten()
	for place, values := range theirs {
		have := ours[place]
		for i, v := range values {
			if i < len(have) && p.ids[v] == "" && identifier.MatchString(v) && kind(v) == kind(have[i]) {
				p.ids[v] = have[i]
			}
		}
		if len(have) == 0 && compared {
			p.lacking[x.Action+" "+place] = true
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

// flatten returns the values of an answer by their place. A recorded answer that was cut is not compared.
func flatten(t *testing.T, kind, raw string) map[string][]string {
	t.Helper()
	if strings.Contains(kind, "json") {
		var body map[string]any
		if err := json.Unmarshal([]byte(raw), &body); err != nil {
			t.Fatal(err)
		}
		return reply{body: body}.flatten()
	}
	var doc element
	if err := xml.NewDecoder(bytes.NewReader([]byte(raw))).Decode(&doc); err != nil {
		return nil
	}
	return reply{doc: doc}.flatten()
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
