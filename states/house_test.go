package states_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/states"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// clock is world time that a test moves.
type clock struct {
	upgrade.SystemClock
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a GitLab, its git and a Terraform in memory. A commit's tree has its name with a t before it.
type world struct {
	mu          sync.Mutex // guards the fields below
	heads       map[string]upgrade.Commit
	unprotected map[string]bool
	without     map[upgrade.Tree]bool // trees without the stack's folder
	gitlab      error
	text        map[string]string // a state by its key or path
	fails       map[string]error
	initFails   error
	inits       []string
	pulls       []string
	plans       []string // what was planned: key of the state and content
	planFails   error
	pulling     int
	most        int
	hold        chan struct{} // pulls wait until it is closed; nil: they do not
	begun       chan string   // told of each pull; nil: nobody
}

func (w *world) Project(_ context.Context, path string) (forge.Project, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return forge.Project{ID: 1, Path: path}, w.gitlab
}

func (w *world) Branch(_ context.Context, _ int64, name string) (forge.Branch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	commit, found := w.heads[name]
	if !found {
		return forge.Branch{}, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "no such branch"}
	}
	return forge.Branch{Name: name, Commit: commit, Protected: !w.unprotected[name]}, nil
}

func (w *world) Ensure(context.Context, forge.Project, upgrade.Commit) error { return nil }

func (w *world) Tree(_ context.Context, _ forge.Project, commit upgrade.Commit) (upgrade.Tree, error) {
	return "t" + upgrade.Tree(commit), nil
}

func (w *world) HasDir(_ context.Context, _ forge.Project, tree upgrade.Tree, _ string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.without[tree], nil
}

func (w *world) Checkout(_ context.Context, _ forge.Project, tree upgrade.Tree, dir string) error {
	return os.WriteFile(filepath.Join(dir, "main.tf"), []byte(tree), 0o600)
}

func (w *world) ResolveDir(checkout, _ string) (string, error) { return checkout, nil }

func (w *world) WriteBackend(dir, backend string) error {
	return os.WriteFile(filepath.Join(dir, "main.tf"), []byte(backend), 0o600)
}

func (w *world) InitBackend(_ context.Context, root plan.Root) error {
	main, err := os.ReadFile(filepath.Join(root.Dir, "main.tf"))
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inits = append(w.inits, root.BackendConfig["key"]+" "+string(main))
	return w.initFails
}

func (w *world) Init(ctx context.Context, root plan.Root, _ io.Writer) error {
	return w.InitBackend(ctx, root)
}

func (w *world) Plan(_ context.Context, root plan.Root, _ io.Writer) (plan.Planned, error) {
	main, err := os.ReadFile(filepath.Join(root.Dir, "main.tf"))
	if err != nil {
		return plan.Planned{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !root.Unlocked {
		return plan.Planned{}, fmt.Errorf("the plan of %s takes a lock", root.BackendConfig["key"])
	}
	w.plans = append(w.plans, fmt.Sprintf("%s %s %v", root.BackendConfig["key"], main, root.VarFiles))
	planned := plan.Planned{File: filepath.Join(root.Data, "plan.tfplan")}
	return planned, errors.Join(w.planFails, os.WriteFile(planned.File, main, 0o600))
}

func (w *world) Show(_ context.Context, _ plan.Root, planned plan.Planned) (plan.Summary, error) {
	main, err := os.ReadFile(planned.File)
	return plan.Summary{Digest: string(main)}, err
}

func (w *world) StatePull(ctx context.Context, root plan.Root, to io.Writer) error {
	w.mu.Lock()
	key := root.BackendConfig["key"]
	w.pulls = append(w.pulls, key)
	w.pulling++
	w.most = max(w.most, w.pulling)
	text, err, hold, begun := w.text[key], w.fails[key], w.hold, w.begun
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pulling--
	}()
	if begun != nil {
		begun <- key
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return fmt.Errorf("pull: %w", context.Cause(ctx))
		}
	}
	if _, errWrite := io.WriteString(to, text); errWrite != nil {
		return errWrite
	}
	return err
}

// said returns what was initialised and pulled since the last time, in the order of the alphabet if
// several are read at once.
func (w *world) said() (inits, pulls []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	inits, pulls = w.inits, w.pulls
	w.inits, w.pulls = nil, nil
	return inits, pulls
}

// stateOf is the JSON of a state that has grants with these ids.
func stateOf(lineage string, grants ...string) string {
	var list []string
	for i, id := range grants {
		list = append(list, fmt.Sprintf(`{"mode": "managed", "type": "aws_kms_grant", "name": "g%d", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]", "instances": [
			{"schema_version": 0, "attributes": {"grant_id": %q, "key_id": "arn:aws:kms:eu-west-2:111111111111:key/k", "id": "k:%s"}, "sensitive_attributes": []}]}`, i, id, id))
	}
	return fmt.Sprintf(`{"version": 4, "terraform_version": "1.5.7", "serial": %d, "lineage": %q, "resources": [%s]}`, len(grants), lineage, strings.Join(list, ","))
}

// stack is a stack whose staging and production states have its name and their environment as their key.
func stack(name upgrade.StackName) upgrade.Stack {
	return upgrade.Stack{
		Name: name, Project: "platform/" + string(name), Trigger: upgrade.Trigger{Push: "staging"},
		Staging: upgrade.Site{Environment: "staging", BackendConfig: map[string]string{"key": string(name) + "/staging"}},
		Production: upgrade.Production{
			Branch: "main", Site: upgrade.Site{Environment: "production", BackendConfig: map[string]string{"key": string(name) + "/production"}},
		},
	}
}

func network() states.Foreign {
	return states.Foreign{Name: "network", Backend: "s3", Config: map[string]string{"key": "network"}}
}

// house is states with a real store, in a world in memory.
type house struct {
	*testing.T
	*world
	*states.States
	clock *clock
	tool  states.Terraform
	db    *store.Store
	dir   string
	log   strings.Builder
}

func newHouse(t *testing.T, stacks ...upgrade.Stack) *house {
	t.Helper()
	h := &house{
		T: t, dir: t.TempDir(), clock: &clock{at: time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC)},
		world: &world{
			heads: map[string]upgrade.Commit{"main": "m1", "staging": "s1"}, unprotected: map[string]bool{}, without: map[upgrade.Tree]bool{},
			text: map[string]string{}, fails: map[string]error{},
		},
	}
	h.tool = h.world
	h.open()
	h.configure(stacks, network())
	return h
}

// open opens the store until the end of the test; closing it before does no harm.
func (h *house) open() {
	h.Helper()
	db, err := store.Open(h.Context(), store.Config{URL: "sqlite:" + filepath.Join(h.dir, "gate.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.Fatal(err)
	}
	h.db = db
	h.Cleanup(func() {
		if err := db.Close(); err != nil {
			h.Error(err)
		}
	})
}

// configure starts the states anew, on the same store and folder.
func (h *house) configure(stacks []upgrade.Stack, foreign ...states.Foreign) {
	h.States = states.New(states.Config{
		Stacks: stacks, Foreign: foreign, Store: h.db, Forge: h.world, Git: h.world, Terraform: h.tool, Clock: h.clock,
		Log:  slog.New(slog.NewTextHandler(&h.log, nil)),
		Mask: func(text string) string { return strings.ReplaceAll(text, "hunter2", "(secret)") }, Data: filepath.Join(h.dir, "states"), Parallel: 2,
	})
}

func (h *house) refresh(names ...upgrade.StateName) {
	h.Helper()
	if err := h.Refresh(h.Context(), names); err != nil {
		h.Fatal(err)
	}
}

// reading returns the reading of a state.
func (h *house) reading(name upgrade.StateName) upgrade.Reading {
	h.Helper()
	readings, err := h.Readings(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for _, reading := range readings {
		if reading.State == name {
			return reading
		}
	}
	h.Fatalf("there is no state %s", name)
	return upgrade.Reading{}
}

// owners says in which states and under which addresses a grant is.
func (h *house) owners(grant string) (places []string) {
	h.Helper()
	owners, err := h.Owners(h.Context(), []plan.Object{{Type: "aws_kms_grant", Key: grant}})
	if err != nil {
		h.Fatal(err)
	}
	for _, owner := range owners {
		places = append(places, string(owner.State)+" "+owner.Address)
	}
	return places
}

func (h *house) same(what string, got, want any) {
	h.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
