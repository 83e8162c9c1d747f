package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// sight is what a page has to say at a moment of a story, in the words that people read.
type sight struct {
	chip     string
	headline string // expression, of the whole
	cause    string // words of the first cause; empty: there is none
	next     string // words of the next step
	button   string // words of the one button
	optional bool   // not with every Terraform
}

// The guarded resources of the stories, and the words that are in several of them.
const (
	lbRule    = `aws_vpc_security_group_ingress_rule\.lb`
	mustAgree = "A release manager must agree before staging is touched."
	noLaunch  = `Not ready for production: staging cannot start new instances\.`
	agree     = "Agree to this change…"
)

// sights are what is to be seen in each story, in any order.
func sights() map[string][]sight {
	replaced := sight{"Needs a yes", `A person must agree: 2 guarded resources would be replaced: .*`, "aws_security_group.varnish (replaced", mustAgree, agree, false}
	taken := sight{"Needs a yes", `A person must agree: 1 guarded resource would be destroyed: aws_kms_grant\.autoscaling\.`, "aws_kms_grant.autoscaling (destroyed)", mustAgree, agree, false}
	ready := sight{"May go to production", `Ready for production: all \d gates passed on staging\.`, "", "Merge it: upgrade-gate is played", "Open pipelines in GitLab", false}
	went := sight{"In production", `Went to production at \d\d:\d\d.*`, "", "Nothing to do.", "", false}
	dead := sight{"Blocked", noLaunch, "Client.InvalidKMSKey.InvalidState", "Look at the grants on the key of the image", "Open [0-9a-f]{7} in GitLab", false}
	fixes := sight{"Blocked", `Not ready for production: the site was down for [\d.,]+ s during the apply\.`, "new connections were not answered", "Priya Raman fixes", "Open [0-9a-f]{7} in GitLab", false}
	handed, there := ready, went
	handed.optional, there.optional = true, true
	return map[string][]sight{
		"clean": {ready, went},
		"outage": {
			{"Needs a yes", `A person must agree: 1 guarded resource would be destroyed: ` + lbRule + `\.`, "ingress_rule.lb (destroyed)", mustAgree, agree, false},
			{"Blocked", `Not ready for production: the site went down and did not recover, .*`, "the site was down when the watch ended", "Priya Raman fixes", "Open [0-9a-f]{7} in GitLab", false},
		},
		"blip": {
			{"Needs a yes", `A person must agree: 1 guarded resource would be replaced: ` + lbRule + `\.`, "the old one destroyed first", mustAgree, agree, false},
			{"Blocked", `Not ready for production: the site was down for [\d.,]+ s while security_group_ingress_rule\.lb was replaced\.`, "while aws_vpc_security_group_ingress_rule.lb was being replaced", "Set create_before_destroy on aws_vpc_security_group_ingress_rule.lb", "Open [0-9a-f]{7} in GitLab", false},
		},
		"launch": {dead},
		"retry": {
			replaced, fixes,
			{"Blocked", `Not ready for production: run \d+: the site was down for .*`, "which is part of this change", "Rehearse it again", "Rehearse it again…", false},
		},
		"rehearse": {replaced, fixes, ready, went},
		"two-stacks": {
			dead,
			{"Locked again", `Run \d+ of two-stacks-web, which this change touches too, ended blocked, so the result no longer counts\.`, "which this change touches too, ended blocked", "Bring two-stacks-web through", "", false},
		},
		"incident": {
			{"Not allowed", `Policy does not allow this: the plan destroys a grant that aws-accounts-1 also owns\.`, "aws-accounts-1/staging also owns as aws_kms_grant.cluster_launches", "forget aws_kms_grant.autoscaling here instead", "Open !1 in GitLab", false},
			handed, there, taken,
			{"Blocked", `Not ready for production: production's group ecs-production-2 cannot use the key of its image and staging cannot start new instances\.`, "the grant ecs-cluster-launches", "Restore the grant ecs-cluster-launches with the command under Repair", "Open !1 in GitLab", false},
			{"Blocked", noLaunch, "Client error on launch", "Give the role what it lacks with the command under Repair", "Open !1 in GitLab", false},
			{"Not verified", `1 gate could not run: no gate touched the running system\.`, "no gate touched the running system", "Configure a required launch, varnish, http or command gate", "", false},
		},
	}
}

// ways are the ways from the apply to what gates saw of it that stories show, by a word of the run's first cause.
func ways() map[string]string {
	return map[string]string{
		"while aws_vpc_security_group_ingress_rule.lb was being replaced": "VPC security group ingress rule replaced → Availability failed",
		"the grant ecs-cluster-launches":                                  "KMS grant destroyed → KMS grants failed",
	}
}

// verdict is what the page of a run says in its first panel.
type verdict struct {
	Chip, Headline, Next, Button, Href, Production, Tab string
	Causes, Reasons, Ways                               []string
	Evidence                                            bool // what the first cause links to is there, and open
	Filled                                              int  // buttons of the page that ask to be pressed
}

const readVerdict = `(() => {
	const text = (e) => e ? e.textContent.replace(/\s+/g, " ").trim() : "", one = (q) => text(document.querySelector(q));
	const all = (q) => [...document.querySelectorAll(q)].map(text);
	const link = document.querySelector(".causes a"), to = link && link.hash ? document.getElementById(link.hash.slice(1)) : null;
	return {
		chip: one(".verdict .chip"), headline: one("h1"), next: one(".next .do"), button: one(".next > .btn"),
		href: document.querySelector(".next > .btn")?.href ?? "", production: one("#production"), tab: document.title,
		causes: all(".causes li b"), ways: all(".causes .chain"), reasons: all(".reasons li"), evidence: !!to && (to.localName !== "details" || to.open),
		filled: document.querySelectorAll(".btn.main").length,
	};
})()`

// read is what Hugo reads on the page of a run.
func read(p *chrome.Tab, path string) verdict {
	p.Helper()
	p.Open(path)
	return chrome.Eval[verdict](p, readVerdict)
}

// look has Hugo look at the page of a run, and at the board that he has open.
func (th *theatre) look(t *testing.T, path string) {
	t.Helper()
	board := th.tab(t, "hugo at the board")
	p := th.tab(t, "hugo")
	got := read(p, path)
	fits := func(s sight) bool {
		return s.chip == got.Chip && regexp.MustCompile(`^(?:`+s.headline+`)$`).MatchString(got.Headline)
	}
	at := slices.IndexFunc(sights()[th.story], fits)
	if at < 0 {
		p.Fatalf("%s says what nobody expects of this story: %+v", path, got)
	}
	want := sights()[th.story][at]
	th.seen[fmt.Sprint(at)] = true
	if want.cause == "" && len(got.Causes) > 0 || want.cause != "" && (len(got.Causes) == 0 || !strings.Contains(strings.ToLower(got.Causes[0]), strings.ToLower(want.cause))) {
		t.Errorf("the causes are %q, want %q first", got.Causes, want.cause)
	}
	if want.cause != "" && strings.HasPrefix(got.Chip, "Blocked") && !got.Evidence && !strings.Contains(got.Headline, ": run ") {
		t.Errorf("the first cause %q leads to no evidence that is open", got.Causes[0])
	}
	if way := ways()[want.cause]; way != "" && got.Chip == "Blocked" && (len(got.Ways) == 0 || !strings.HasPrefix(got.Ways[0], way)) {
		t.Errorf("the ways there are %q, want %q", got.Ways, way)
	}
	if !strings.Contains(got.Next, want.next) || !regexp.MustCompile(want.button).MatchString(got.Button) {
		t.Errorf("the next step is %q with the button %q, want %q with %q", got.Next, got.Button, want.next, want.button)
	}
	if !strings.HasPrefix(got.Tab, got.Chip+": ") || got.Filled > 1 || got.Production == "" {
		t.Errorf("the tab is %q, there are %d filled buttons, and of production it says %q", got.Tab, got.Filled, got.Production)
	}
	th.sameInAPI(p, path, got)
	sameOnBoard(board, path, got)
	switch got.Chip {
	case "Blocked", "Not allowed", "Not verified":
		th.ended = append(th.ended, path)
	case "May go to production":
		mayGo(t, got)
	case "Needs a yes":
		if th.story == "outage" {
			th.agree(t, path)
		}
	}
}

// sameInAPI demands that the API says the very same.
func (th *theatre) sameInAPI(p *chrome.Tab, path string, got verdict) {
	p.Helper()
	text := chrome.Eval[string](p, fmt.Sprintf(`fetch("/api/v1%s").then(r => r.text())`, path))
	var run struct {
		Told struct{ Chip, Headline, Next string }
	}
	if err := json.Unmarshal([]byte(text), &run); err != nil {
		p.Fatalf("the API's answer: %v", err)
	}
	if run.Told.Chip != got.Chip || run.Told.Headline != got.Headline || run.Told.Next != got.Next {
		p.Errorf("the API says %+v, the page %+v", run.Told, got)
	}
}

// sameOnBoard waits for the open board to say the same, without being loaded again.
func sameOnBoard(board *chrome.Tab, path string, got verdict) {
	board.Helper()
	if got.Chip == "In production" {
		board.Until(fmt.Sprintf(`document.querySelector('#recent a[href="%s"]') !== null`, path))
		return
	}
	headline, err := json.Marshal(got.Headline)
	check(board, err)
	board.Until(fmt.Sprintf(`document.querySelector('.row:has(a[href="%s"]) .hl')?.textContent === %s`, path, headline))
}

// mayGo demands that an open run says why it may go, and until when.
func mayGo(t *testing.T, got verdict) {
	t.Helper()
	said := strings.Join(got.Reasons, "\n")
	for _, want := range []string{"Same change. Production gets commit ", "destroyed", " in GitLab. ", "Locks again by itself. As soon as "} {
		if !strings.Contains(said, want) {
			t.Errorf("it may go to production, but does not say %q:\n%s", want, said)
		}
	}
}

// afterwards is what people do when a story has ended: each run that production stays shut for says so still, and in
// GitLab it reads the same.
func (th *theatre) afterwards(t *testing.T) {
	t.Helper()
	p := th.tab(t, "hugo")
	for i, s := range sights()[th.story] {
		if !th.seen[fmt.Sprint(i)] && !s.optional {
			t.Errorf("nobody saw %+v", s)
		}
	}
	for _, path := range th.ended {
		got := read(p, path)
		if !strings.HasPrefix(got.Button, "Open ") {
			continue
		}
		p.Click(".next > .btn")
		p.Until(`document.querySelector("#statuses") !== null`)
		seen := chrome.Eval[string](p, `location.href + "\n" + document.querySelector("#subject").textContent + "\n" + document.querySelector("#statuses").textContent`)
		// A commit with several runs says which of them it is that speaks.
		said := strings.ReplaceAll(seen, "run "+strings.TrimPrefix(path, "/runs/")+": ", "")
		if !strings.HasPrefix(seen, got.Href+"\n") || !strings.Contains(said, ": failed, "+got.Headline) {
			t.Errorf("run %s leads to %s, which says\n%s\nwant its headline %q", path, got.Href, seen, got.Headline)
		}
		if strings.HasSuffix(got.Href, "/merge_requests/1") && !strings.Contains(seen, "\n!1 Leave the grant to aws-accounts\n") {
			t.Errorf("the merge request's page says %s", seen)
		}
	}
	if th.story == "launch" {
		th.override(t, th.ended[0])
	}
}
