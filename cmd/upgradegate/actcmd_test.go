package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const fakeRun = `{"id":7,"stack":"web","commit":"8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c","phase":"blocked","applies":0,
"causes":[{"message":"a grant is gone"}],"causes_digest":"of-the-causes","plan":{"destroy":1,"replace":2,"change_digest":"of-the-change"},
"deadline":"2026-11-23T12:45:00Z","told":{"chip":"Blocked","headline":"Not ready."},"warnings":["look at this"],
"override":{"by":["mira"],"reason":"it has to go out","counts":false}}`

const fakeGates = `{"items":[
{"gate":"old","agreeable":true,"apply":0,"message":"of another plan"},
{"gate":"destroy-guard","agreeable":true,"apply":1,"message":"1 grant would be destroyed","evidence":{"tables":[{"rows":[["aws_kms_grant.ebs","destroyed",""]]}]}}]}`

// fakeService answers as the API does, and keeps what was posted.
type fakeService struct {
	*httptest.Server
	mu     sync.Mutex // guards posted
	posted []string
}

func newFakeService(t *testing.T) *fakeService {
	t.Helper()
	f := &fakeService{}
	mux := http.NewServeMux()
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	mux.HandleFunc("GET /api/v1/runs/7", answer(fakeRun))
	mux.HandleFunc("GET /api/v1/runs/7/gates", answer(fakeGates))
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.posted = append(f.posted, r.URL.Path+" "+string(body))
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"asked":"it"}`)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// TestAgreeing: what is agreed to is shown, and its digest is sent, but only after a yes.
func TestAgreeing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		code int
		sent string
		err  string
	}{
		{
			"approve",
			[]string{"approve", "7", "--yes"},
			exitOK, `/api/v1/runs/7/approve {"digest":"of-the-change","reason":""}`,
			`run 7 of web.*\nNot ready\.\nThe plan destroys 1, replaces 2, .*\ndestroy-guard: 1 grant would be destroyed\n  - aws_kms_grant\.ebs, destroyed\nIt waits until 23 Nov 12:45 UTC\.\nasked run 7 to approve.*\n`,
		},
		{"refuse", []string{"refuse", "7", "-y", "--reason", "no"}, exitOK, `/api/v1/runs/7/refuse {"digest":"of-the-change","reason":"no"}`, `.*asked run 7 to refuse.*\n`},
		{
			"override",
			[]string{"override", "7", "--yes", "--reason", "r", "--until", "2026-12-24T18:00:00Z"},
			exitOK,
			`/api/v1/runs/7/override {"digest":"of-the-causes","reason":"r","until":"2026-12-24T18:00:00Z"}`,
			`.*This stands against it:\n1\. a grant is gone\nmira asks to override it: it has to go out\nasked run 7 to override.*\n`,
		},
		{"digest_of_before", []string{"approve", "7", "--yes", "--digest", "seen"}, exitOK, `/api/v1/runs/7/approve {"digest":"seen","reason":""}`, `asked run 7 to approve.*\n`},
		{"another_digest", []string{"approve", "7", "--digest", "seen"}, exitError, "", `.*upgradegate: this is no longer what --digest was of\nupgradegate: hint: .*\n`},
		{"nobody_to_ask", []string{"approve", "7"}, exitUsage, "", `.*upgradegate: there is no terminal to ask on\nupgradegate: hint: .*--yes\n`},
		{"retry", []string{"retry", "7"}, exitOK, `/api/v1/runs/7/retry {"reason":""}`, `asked run 7 to retry.*\n`},
		{"relock", []string{"relock", "7", "--reason", "an incident"}, exitOK, `/api/v1/runs/7/relock {"reason":"an incident"}`, `asked run 7 to relock.*\n`},
		{"resolve", []string{"resolve", "7", "--reason", "whole"}, exitOK, `/api/v1/runs/7/resolve {"reason":"whole"}`, `asked run 7 to resolve.*\n`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeService(t)
			env := []string{"UPGRADEGATE_URL=" + f.URL, "UPGRADEGATE_TOKEN=a-token"}
			cli(t, env, append([]string{"run"}, test.args...)...).is(t, test.code, "", test.err)
			if got := strings.Join(f.posted, "\n"); got != test.sent {
				t.Errorf("sent %s, want %s", got, test.sent)
			}
		})
	}
}

// TestAgreeingAsJSON: standard output has the answer alone.
func TestAgreeingAsJSON(t *testing.T) {
	t.Parallel()
	f := newFakeService(t)
	got := cli(t, []string{"UPGRADEGATE_URL=" + f.URL, "UPGRADEGATE_TOKEN=a-token"}, "run", "approve", "7", "--yes", "--json")
	if got.code != exitOK || got.out != `{"asked":"it"}`+"\n" {
		t.Errorf("exit code %d, %s", got.code, got.out)
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for answer, yes := range map[string]bool{"y\n": true, "Yes\n": true, " y": true, "\n": false, "": false, "n\n": false, "yesterday\n": false} {
		var asked bytes.Buffer
		if err := confirm(strings.NewReader(answer), &asked, "Approve? "); (err == nil) != yes || asked.String() != "Approve? " {
			t.Errorf("%q is taken as %v", answer, err)
		}
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"": {}, "12h": now.Add(12 * time.Hour), "2026-12-24T18:00:00+01:00": time.Date(2026, 12, 24, 17, 0, 0, 0, time.UTC)} {
		if got, err := untilOf(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1h", "soon", "24"} {
		if _, err := untilOf(text, now); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestActsOnAService does what the pages can do, and replays what GitLab sent, against the whole service.
func TestActsOnAService(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	h.site.say("somebody else's page")
	commit := h.push("1")
	h.runIs(commit, upgrade.PhaseBlocked)

	h.cli("stack", "list").is(t, exitOK, `STACK +BASE +OPEN CHANGE +HELD BY +ON THE WAY +QUEUED\nweb +[0-9a-f]{7} \(assumed\) +1 apply +- +- +-\n`, "")
	h.cli("stack", "base", "web", string(commit)).is(t, exitError, "", `upgradegate: a reason is missing\nupgradegate: hint: .*\n`)
	h.cli("stack", "base", "nothing", string(commit), "--reason", "r").is(t, exitError, "", `upgradegate: there is no stack "nothing"\nupgradegate: hint: there are web\n`)
	h.cli("run", "approve", "1", "--yes").is(t, exitError, "", `.*upgradegate: run 1 cannot be asked to approve: .*\nupgradegate: hint: .*\n`)
	h.cli("run", "override", "1", "--yes", "--reason", "too short").is(t, exitError, "", `.*upgradegate: the reason of an override has at least 20 characters\nupgradegate: hint: .*\n`)

	h.site.say("hello")
	h.cli("run", "retry", "1").is(t, exitOK, "", `asked for another attempt of run 1; .*\n`)
	run := h.runIs(commit, upgrade.PhaseUnlocked)
	if run.ID != 2 {
		t.Errorf("run %d went on, want another one", run.ID)
	}
	h.cli("stack", "list").is(t, exitOK, `.*web .* run 2 +-\n`, "")
	h.cli("run", "relock", "2").is(t, exitError, "", `upgradegate: a reason is missing\nupgradegate: hint: .*\n`)
	h.cli("run", "relock", "2", "--reason", "an incident").is(t, exitOK, "", `asked run 2 to relock.*\n`)
	h.runIs(commit, upgrade.PhaseRelocked)
	h.cli("stack", "base", "web", string(commit), "--reason", "deployed by hand").is(t, exitOK, "", `production of web has `+commit.Short()+`; its open change is .*\n`)
	h.cli("stack", "list").is(t, exitOK, `.*web +`+commit.Short()+` \(by hugo\) .*`, "")

	h.replays(t)
}

// TestAgreeOnAService: what the guard holds up goes on by a release manager's yes, and ends by their no.
func TestAgreeOnAService(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.gates = h.siteGate() + "  - {name: guard, kind: destroy-guard, environments: [staging], types: [terraform_data]}\n"
	h.writeFile(h.path("bin/terraform"))
	h.serve()
	h.runIs(h.push("1"), upgrade.PhaseUnlocked)

	second := h.push("2")
	run := h.runIs(second, upgrade.PhaseAwaitingApproval)
	id := run.ID.String()
	h.cli("run", "approve", id, "--yes", "--digest", "of something else").is(t, exitError, "", `upgradegate: run `+id+` cannot be asked to approve: the plan is another one by now.*\nupgradegate: hint: .*\n`)
	h.cli("run", "approve", id, "--yes", "--reason", "it is only a test").is(t, exitOK, "",
		`run `+id+` of web.*The plan destroys 0, replaces 1, .*\nguard: .*terraform_data\.it.*\n  - terraform_data\.it, replaced.*\nIt waits until .*\nasked run `+id+` to approve.*\n`)
	h.runIs(second, upgrade.PhaseUnlocked)
	if _, page := h.get("/runs/" + id); !strings.Contains(page, "ugo agreed to this change") {
		t.Error("the page does not say who agreed")
	}

	third := h.push("3")
	id = h.runIs(third, upgrade.PhaseAwaitingApproval).ID.String()
	h.cli("run", "refuse", id, "--yes").is(t, exitError, "", `.*upgradegate: a reason is missing\nupgradegate: hint: .*\n`)
	h.cli("run", "refuse", id, "--yes", "--reason", "not on a Friday").is(t, exitOK, "", `.*asked run `+id+` to refuse.*\n`)
	h.runIs(third, upgrade.PhaseBlocked)
	h.cli("run", "show", id).is(t, exitOK, `.*hugo said no: not on a Friday.*`, "")
	h.appliedOnce("1", "2")
}

// replays sends what the service kept of a push once more, in each form that is understood.
func (h *house) replays(t *testing.T) {
	t.Helper()
	_, list := h.get("/api/v1/deliveries?limit=200")
	var page struct {
		Items []struct{ ID, Kind, Fate string }
	}
	check(t, json.Unmarshal([]byte(list), &page))
	kept, started := "", ""
	for _, d := range page.Items {
		if d.Kind == "push" && d.Fate == "started" {
			started = d.ID
			_, kept = h.get("/api/v1/deliveries/" + pathOf("%s", d.ID))
		}
	}
	var delivery struct{ Body json.RawMessage }
	if err := json.Unmarshal([]byte(kept), &delivery); err != nil || delivery.Body == nil {
		t.Fatalf("no body in %s: %v", kept, err)
	}
	file := func(name, text string) string {
		path := filepath.Join(h.dir, name)
		check(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	var again struct{ Delivery string }
	code, said := h.send(http.MethodPost, "/api/v1/deliveries/"+pathOf("%s", started)+"/play", http.Header{"Authorization": {"Bearer " + hugoToken}}, nil)
	if err := json.Unmarshal([]byte(said), &again); err != nil || code != http.StatusAccepted || again.Delivery != "again:1:"+started {
		t.Errorf("played again: %d %s", code, said)
	}
	h.until(func() string {
		if _, said := h.get("/api/v1/deliveries/" + pathOf("%s", again.Delivery)); !strings.Contains(said, `"fate":"ignored"`) {
			return said
		}
		return ""
	})
	asKept, alone := file("kept.json", kept), file("body.json", string(delivery.Body))
	recorded := file("recorded.json", `{"headers":{"X-Gitlab-Event":"Push Hook","X-Gitlab-Token":"[REDACTED]","Content-Length":"3"},"body":`+string(delivery.Body)+`}`)
	env := []string{"UPGRADEGATE_URL=" + h.url, "UPGRADEGATE_TOKEN=" + hugoToken, "UPGRADEGATE_WEBHOOK_SECRET=" + hookToken}
	done := `No\. \d+, staging → [0-9a-f]{7}: ignored.*\n`
	sent := `sent as replay-\S+: 200 OK\n`
	cli(t, env, "replay", asKept).is(t, exitOK, done, sent)
	cli(t, env, "replay", recorded, "--server", h.url).is(t, exitOK, done, sent)
	cli(t, env, "replay", alone, "--event", "Push Hook").is(t, exitOK, done, sent)
	same := cli(t, env, "replay", asKept, "--same-id")
	same.is(t, exitOK, `No\. \d+, staging → [0-9a-f]{7}: started \(run 1\).*\n`, `sent as .*: 200 OK\n`)
	if regexp.MustCompile(`sent as replay-`).MatchString(same.err) {
		t.Errorf("--same-id: %s", same.err)
	}
	cli(t, env, "replay", asKept, "--json").is(t, exitOK, `\{.*"fate":"ignored".*\}\n`, sent)
	cli(t, env[:1], "replay", asKept).is(t, exitError, "", `upgradegate: .* answered 401 Unauthorized; UPGRADEGATE_WEBHOOK_SECRET is not set\nupgradegate: hint: .*secret.*\n`)
	cli(t, append(env[:1:1], "OTHER="+hookToken), "replay", asKept, "--secret-env", "OTHER").is(t, exitOK, "", sent)
}

// TestRehearseOnAService: staging goes back to what production has and forth again, and the page shows both.
func TestRehearseOnAService(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	h.site.say("somebody else's page")
	commit := h.push("1")
	h.runIs(commit, upgrade.PhaseBlocked)
	h.site.say("hello")
	h.cli("run", "rehearse", "1", "--reason", "once more, from the start").is(t, exitOK, "", `asked for another attempt of run 1; .*\n`)
	run := h.runIs(commit, upgrade.PhaseUnlocked)
	h.appliedOnce("1", "0", "1")
	_, page := h.get("/runs/" + run.ID.String())
	for _, want := range []string{"Rehearsal.", "Second half: staging was taken back to", "<b>Way back</b> applied", "<b>This change</b> applied", "Kept, not counted"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	h.cli("run", "show", run.ID.String()).is(t, exitOK, `.*Kept, not counted.*`, "")
	if _, page := h.get("/runs/1"); strings.Contains(page, "/runs/1/rehearse") {
		t.Error("the first attempt still offers another one")
	}
}
