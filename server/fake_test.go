package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	viewerToken  = "token-of-vera-viewer"
	managerToken = "token-of-mira-manager"
)

// fakeNow is the world time of these tests: a Monday morning.
func fakeNow() time.Time { return time.Date(2026, 11, 23, 9, 16, 0, 0, time.UTC) }

type fixedClock struct {
	upgrade.SystemClock
	at time.Time
}

func (c fixedClock) Now() time.Time { return c.at }

// world is everything that a Server reads, in memory.
type world struct {
	mu         sync.Mutex
	runs       []upgrade.Run
	results    map[upgrade.RunID][]upgrade.Result
	applies    map[upgrade.RunID][]upgrade.Apply
	orders     map[upgrade.UpgradeID][]upgrade.Order
	requests   map[upgrade.RunID][]upgrade.Request
	events     []upgrade.Event
	deliveries []upgrade.Delivery
	logs       map[string]string // "481/apply" → text
	asked      []upgrade.Request
	repeated   []upgrade.Hint
	played     []upgrade.DeliveryID
	bases      map[upgrade.StackName]upgrade.Base
	askErr     error
	pingErr    error
	pingWait   bool
	panicky    bool
	ticks      []chan struct{}
	asks       fakeQuestions
	readings   []upgrade.Reading
	standings  []upgrade.Standing
	stretches  []upgrade.Stretch
	checked    []upgrade.StandingKey
}

func notFound(what string) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: what + " does not exist"}
}

func (w *world) Run(_ context.Context, id upgrade.RunID) (upgrade.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.panicky {
		panic("a bug")
	}
	for _, r := range w.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return upgrade.Run{}, notFound("run " + id.String())
}

func (w *world) Runs(_ context.Context, f upgrade.RunFilter) ([]upgrade.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []upgrade.Run
	for _, r := range w.runs {
		if (f.Before == 0 || r.ID < f.Before) && (f.Stack == "" || r.Stack == f.Stack) &&
			(len(f.Phases) == 0 || slices.Contains(f.Phases, r.Phase)) && (f.Commit == "" || r.Commit == f.Commit) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b upgrade.Run) int { return cmp.Compare(b.ID, a.ID) })
	if f.Newest {
		seen := map[upgrade.StackName]bool{}
		out = slices.DeleteFunc(out, func(r upgrade.Run) bool {
			older := seen[r.Stack]
			seen[r.Stack] = true
			return older
		})
	}
	return out[:min(len(out), cmp.Or(f.Limit, 50))], nil
}

// SearchRuns looks for the text in what people read of a run.
func (w *world) SearchRuns(_ context.Context, f upgrade.RunSearch) ([]upgrade.Run, upgrade.RunID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []upgrade.Run
	for _, r := range w.runs {
		if w.matches(r, f.Text) && (f.Before == 0 || r.ID < f.Before) && (f.Stack == "" || r.Stack == f.Stack) &&
			(len(f.Phases) == 0 || slices.Contains(f.Phases, r.Phase)) && (f.Month == 0 || upgrade.MonthOf(r.CreatedAt) == f.Month) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b upgrade.Run) int { return cmp.Compare(b.ID, a.ID) })
	if most := cmp.Or(f.Limit, 50); len(out) > most {
		return out[:most], out[most-1].ID, nil
	}
	return out, 0, nil
}

func (w *world) matches(r upgrade.Run, text string) bool {
	words := []string{string(r.Stack), r.Version, r.Author, r.Title, string(r.Commit)}
	for _, a := range r.Answers {
		words = append(words, fmt.Sprintf("!%d", a.MergeRequest))
	}
	known := strings.ToLower(strings.Join(words, " "))
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		if !strings.Contains(known, word) {
			return false
		}
	}
	return true
}

func (w *world) FindRuns(ctx context.Context, f upgrade.RunSearch) (found upgrade.RunsFound, err error) {
	found.Whole = true
	if found.Runs, found.Older, err = w.SearchRuns(ctx, f); err != nil {
		return found, err
	}
	var counts []upgrade.RunCount
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if w.matches(r, f.Text) {
			counts = append(counts, upgrade.RunCount{Month: upgrade.MonthOf(r.CreatedAt), Stack: r.Stack, Phase: r.Phase, N: 1})
		}
	}
	found.Counts = upgrade.CountEach(counts, f)
	return found, nil
}

func (w *world) OpenRequests(_ context.Context, id upgrade.RunID) ([]upgrade.Request, error) {
	return w.requests[id], nil
}

func (w *world) Results(_ context.Context, id upgrade.RunID) ([]upgrade.Result, error) {
	return w.results[id], nil
}

func (w *world) Applies(_ context.Context, id upgrade.RunID) ([]upgrade.Apply, error) {
	return w.applies[id], nil
}

func (w *world) Orders(_ context.Context, id upgrade.UpgradeID) ([]upgrade.Order, error) {
	return w.orders[id], nil
}

func (w *world) Events(_ context.Context, f upgrade.EventFilter) ([]upgrade.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []upgrade.Event
	for _, e := range w.events {
		at := e.ID
		if f.Run != 0 {
			at = e.Seq
		}
		if (f.Run == 0 || e.Run == f.Run) && at > f.After {
			out = append(out, e)
		}
	}
	return out[:min(len(out), cmp.Or(f.Limit, 500))], nil
}

// write appends an event and tells whoever listens.
func (w *world) write(e upgrade.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.ID, e.Seq = int64(len(w.events)+1), 1
	for _, old := range w.events {
		if old.Run == e.Run {
			e.Seq = old.Seq + 1
		}
	}
	w.events = append(w.events, e)
	for _, c := range w.ticks {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *world) Changed() (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{}, 1)
	w.ticks = append(w.ticks, c)
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ticks = slices.DeleteFunc(w.ticks, func(o chan struct{}) bool { return o == c })
	}
}

func (w *world) listeners() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ticks)
}

func (w *world) Delivery(_ context.Context, id upgrade.DeliveryID) (upgrade.Delivery, error) {
	for _, d := range w.deliveries {
		if d.ID == id {
			return d, nil
		}
	}
	return upgrade.Delivery{}, notFound("delivery " + string(id))
}

func (w *world) Deliveries(_ context.Context, f upgrade.DeliveryFilter) ([]upgrade.Delivery, error) {
	var out []upgrade.Delivery
	for _, d := range slices.Backward(w.deliveries) {
		if (f.Before == 0 || d.Number < f.Before) && (len(f.Fates) == 0 || slices.Contains(f.Fates, d.Fate)) {
			out = append(out, d)
		}
	}
	return out[:min(len(out), cmp.Or(f.Limit, 50))], nil
}

func (w *world) Ping(ctx context.Context) error {
	if w.pingWait {
		<-ctx.Done()
		return ctx.Err()
	}
	return w.pingErr
}

func (w *world) Ask(_ context.Context, r upgrade.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asker(r.By); err != nil {
		return err
	}
	w.asked = append(w.asked, r)
	return nil
}

// asker refuses those who may not act, as the domain does.
func (w *world) asker(by upgrade.Person) error {
	if w.askErr != nil {
		return w.askErr
	}
	if !by.Role.Includes(upgrade.RoleDeveloper) {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "a viewer may not do this", Hint: "ask a release manager"}
	}
	return nil
}

func (w *world) Repeat(_ context.Context, run upgrade.RunID, kind upgrade.HintKind, by upgrade.Person, reason string) (upgrade.DeliveryID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asker(by); err != nil {
		return "", err
	}
	w.repeated = append(w.repeated, upgrade.Hint{Kind: kind, Run: run, By: by.Name, Why: reason})
	return upgrade.DeliveryID(string(kind) + ":" + run.String() + ":1"), nil
}

func (w *world) SetBase(_ context.Context, stack upgrade.StackName, commit upgrade.Commit, by upgrade.Person, reason string) (upgrade.Base, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asker(by); err != nil {
		return upgrade.Base{}, err
	}
	w.bases = map[upgrade.StackName]upgrade.Base{stack: {Stack: stack, Commit: commit, Tree: treeA, By: by.Name, Reason: reason, At: fakeNow()}}
	return w.bases[stack], nil
}

func (w *world) PlayAgain(_ context.Context, id upgrade.DeliveryID, by upgrade.Person) (upgrade.DeliveryID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asker(by); err != nil {
		return "", err
	}
	for _, d := range w.deliveries {
		if d.ID == id {
			next := upgrade.Delivery{Number: int64(len(w.deliveries) + 1), ID: "again:1:" + id, Event: d.Event, Hint: d.Hint, Fate: upgrade.FatePending, ReceivedAt: fakeNow()}
			w.deliveries, w.played = append(w.deliveries, next), append(w.played, id)
			return next.ID, nil
		}
	}
	return "", notFound("delivery " + string(id))
}

func (w *world) Readings(context.Context) ([]upgrade.Reading, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.readings), nil
}

func (w *world) RefreshState(ctx context.Context, name upgrade.StateName, by upgrade.Person) (upgrade.Reading, error) {
	if w.pingWait {
		<-ctx.Done()
		return upgrade.Reading{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asker(by); err != nil {
		return upgrade.Reading{}, err
	}
	for i := range w.readings {
		if w.readings[i].State == name {
			w.readings[i].ReadAt, w.readings[i].TriedAt, w.readings[i].Problem = fakeNow(), fakeNow(), ""
			return w.readings[i], nil
		}
	}
	return upgrade.Reading{}, notFound("state " + string(name))
}

func (w *world) Invariants(context.Context) ([]upgrade.Standing, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.standings), nil
}

func (w *world) Stretches(_ context.Context, key upgrade.StandingKey, since time.Time) (all []upgrade.Stretch, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stretches {
		if s.Key == key && !s.Until.Before(since) {
			all = append(all, s)
		}
	}
	return all, nil
}

func (w *world) CheckInvariant(_ context.Context, key upgrade.StandingKey, by upgrade.Person) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asker(by); err != nil {
		return err
	}
	for _, s := range w.standings {
		if s.Key == key {
			w.checked = append(w.checked, key)
			return nil
		}
	}
	return notFound("standing gate " + key.String())
}

func (w *world) Base(_ context.Context, stack upgrade.StackName) (upgrade.Base, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	base, known := w.bases[stack]
	return base, known, nil
}

func (w *world) AppliesSince(_ context.Context, stack upgrade.StackName, env upgrade.EnvName, seq int64) ([]upgrade.Apply, error) {
	var out []upgrade.Apply
	for _, run := range w.applies {
		for _, a := range run {
			if a.Stack == stack && a.Environment == env && a.Seq > seq {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b upgrade.Apply) int { return cmp.Compare(a.Seq, b.Seq) })
	return out, nil
}

func (w *world) Log(_ context.Context, id upgrade.RunID, stage string) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, ok := w.logs[id.String()+"/"+stage]
	if !ok {
		return nil, notFound("the log of " + stage)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (w *world) addLog(key, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[key] += text
}

func (w *world) config(log io.Writer) Config {
	return Config{
		Runs: w, Searches: w, Evidence: w, Journal: w, Deliveries: w, Health: w, Acts: w, Logs: w, IDTokens: fakeTokens{}, Questions: &w.asks, Changes: w, States: w, Invariants: w, Stretches: w, Agents: &fakeAgents{}, Hooks: &fakeHooks{}, Plans: w, Access: &fakeAccess{}, Audit: &fakeAudit{}, Posts: &fakePosts{},
		Stacks: []upgrade.Stack{
			{Name: "ecs-master", Project: "platform/ecs-master", Dir: "stacks/ecs", After: []upgrade.StackName{"cms-web"}, Staging: upgrade.Site{Environment: "staging"}},
			{Name: "cms-web", Project: "platform/cms", Staging: upgrade.Site{Environment: "staging"}},
		},
		Tokens: []Token{
			{upgrade.Person{Name: "Vera Viewer", Role: upgrade.RoleViewer}, viewerToken},
			{upgrade.Person{Name: "Mira Holt", Role: upgrade.RoleReleaseManager, GitLabUser: 17}, managerToken},
		},
		PublicURL: "https://gate.example.org", GitLabURL: "https://gitlab.example.org",
		Clock: fixedClock{at: fakeNow()}, Version: "1.4.0", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// site is a server over a world, and its log.
type site struct {
	*Server
	world *world
	log   *syncBuffer
}

func newSite(t *testing.T, w *world, change ...func(*Config)) *site {
	t.Helper()
	log := &syncBuffer{}
	cfg := w.config(log)
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.EndStreams)
	return &site{s, w, log}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// do sends a request as the owner of token; header holds names and values by turns.
func (s *site) do(method, target, token, body string, header ...string) *httptest.ResponseRecorder {
	return s.doIn(context.Background(), method, target, token, body, header...)
}

// doIn is do within a context.
func (s *site) doIn(ctx context.Context, method, target, token, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func (s *site) get(target string) *httptest.ResponseRecorder {
	return s.do(http.MethodGet, target, managerToken, "")
}

// newRegistry returns a registry that has a server's metrics already.
func newRegistry(t *testing.T) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewRegistry()
	newSite(t, fullWorld(), func(c *Config) { c.Metrics = r })
	return r
}
