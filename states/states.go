// Package states knows which Terraform states there are, reads them, and says what they own: the index
// that tells whether two states own one thing. A stack's own state is read in a checkout of its own, a
// foreign one in a folder with nothing but its backend; both only ever by `terraform state pull`. What is
// kept of a state is which things are in it and under which address, never a value of theirs.
package states

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Store is where readings are kept, and where it is said what was applied last.
type Store interface {
	SaveReading(ctx context.Context, reading upgrade.Reading, owned []upgrade.Owned) error
	Readings(ctx context.Context) ([]upgrade.Reading, error)
	Owners(ctx context.Context, objects []plan.Object) ([]upgrade.Owned, error)
	ForgetStates(ctx context.Context, names ...upgrade.StateName) error
	LastApply(ctx context.Context, stack upgrade.StackName, env upgrade.EnvName) (upgrade.Apply, bool, error)
	Run(ctx context.Context, id upgrade.RunID) (upgrade.Run, error)
	Base(ctx context.Context, stack upgrade.StackName) (upgrade.Base, bool, error)
}

// Forge says where the branches of a project are.
type Forge interface {
	Project(ctx context.Context, path string) (forge.Project, error)
	Branch(ctx context.Context, projectID int64, name string) (forge.Branch, error)
}

// Git is the mirrors of the projects.
type Git interface {
	Ensure(ctx context.Context, project forge.Project, commit upgrade.Commit) error
	Tree(ctx context.Context, project forge.Project, commit upgrade.Commit) (upgrade.Tree, error)
	HasDir(ctx context.Context, project forge.Project, tree upgrade.Tree, dir string) (bool, error)
	Checkout(ctx context.Context, project forge.Project, tree upgrade.Tree, dir string) error
	ResolveDir(checkout, dir string) (string, error)
}

// Terraform reads states and plans.
type Terraform interface {
	// InitBackend prepares a root module as far as StatePull needs it.
	InitBackend(ctx context.Context, root plan.Root) error
	// StatePull writes the state of an initialised root module to w; it takes no lock and writes nothing
	// anywhere else.
	StatePull(ctx context.Context, root plan.Root, w io.Writer) error
	// WriteBackend makes dir a root module that is nothing but a backend.
	WriteBackend(dir, backend string) error
	// Init, Plan and Show make a plan of a whole root module.
	Init(ctx context.Context, root plan.Root, log io.Writer) error
	Plan(ctx context.Context, root plan.Root, log io.Writer) (plan.Planned, error)
	Show(ctx context.Context, root plan.Root, planned plan.Planned) (plan.Summary, error)
}

// Foreign is a state that no stack here works on.
type Foreign struct {
	Name      upgrade.StateName
	Backend   string                    // such as s3
	Config    map[string]string         // of the backend
	Workspace string                    // empty: the one named default
	Env       map[string]upgrade.Secret // for Terraform's environment
}

// Config is what New needs. Every field must be set unless it says otherwise.
type Config struct {
	Stacks    []upgrade.Stack
	Foreign   []Foreign // may be empty
	Store     Store
	Forge     Forge
	Git       Git
	Terraform Terraform
	Clock     upgrade.Clock
	Log       *slog.Logger
	Mask      func(string) string // applied to everything that is kept of a failure (S9); nil: none
	Data      string              // absolute folder for checkouts
	Parallel  int                 // how many are read at once; at least 1
}

// deadline is how long reading one state may take, from the moment at which it is its turn.
const deadline = 5 * time.Minute

// errSlow is why a reading was given up.
var errSlow = &upgrade.Error{
	Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("it was not read within %s", deadline),
	Hint: "see whether its backend answers, and whether it can be reached from here",
}

// States reads the states that it knows. It is safe for use by several goroutines.
type States struct {
	Config
	sources map[upgrade.StateName]*source
	places  chan struct{} // holds a value for each reading that is going on

	mu    sync.Mutex // guards known
	known bool       // what the store has was compared with what is configured
}

// New returns the states of the stacks, staging's and those of production that say where theirs is, and
// the foreign ones.
func New(c Config) *States {
	s := &States{Config: c, sources: map[upgrade.StateName]*source{}, places: make(chan struct{}, max(c.Parallel, 1))}
	for _, stack := range c.Stacks {
		s.add(&source{name: upgrade.StateOf(stack.Name, stack.Staging.Environment), stack: stack, site: stack.Staging})
		// A production that says nothing about its state has it where only its own pipeline knows.
		if site := stack.Production.Site; site.Workspace != "" || len(site.BackendConfig) > 0 {
			s.add(&source{name: upgrade.StateOf(stack.Name, site.Environment), stack: stack, site: site, production: true})
		}
	}
	for _, f := range c.Foreign {
		s.add(&source{name: f.Name, foreign: &f, site: upgrade.Site{Workspace: f.Workspace, BackendConfig: f.Config, Env: f.Env}})
	}
	return s
}

func (s *States) add(src *source) {
	src.dir = s.dirOf(src.name)
	src.turn, src.planning = make(chan struct{}, 1), make(chan struct{}, 1)
	s.sources[src.name] = src
}

// dirOf returns the folder of a state. Names of stacks' states have a slash, others none.
func (s *States) dirOf(name upgrade.StateName) string {
	if stack, env, own := strings.Cut(string(name), "/"); own {
		return filepath.Join(s.Data, "stacks", stack, env)
	}
	return filepath.Join(s.Data, "foreign", string(name))
}

// Readings returns the newest reading of every state that is known, by name.
func (s *States) Readings(ctx context.Context) ([]upgrade.Reading, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	stored, err := s.Store.Readings(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up readings of states: %w", err)
	}
	byName := map[upgrade.StateName]upgrade.Reading{}
	for _, reading := range stored {
		byName[reading.State] = reading
	}
	readings := make([]upgrade.Reading, 0, len(s.sources))
	for name, src := range s.sources {
		reading, known := byName[name]
		if !known {
			reading = src.reading()
		}
		readings = append(readings, reading)
	}
	slices.SortFunc(readings, func(a, b upgrade.Reading) int { return cmp.Compare(a.State, b.State) })
	return readings, nil
}

// Owners returns every place in every state in which one of the things is.
func (s *States) Owners(ctx context.Context, objects []plan.Object) ([]upgrade.Owned, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	owners, err := s.Store.Owners(ctx, objects)
	if err != nil {
		return nil, fmt.Errorf("look up owners: %w", err)
	}
	return slices.DeleteFunc(owners, func(o upgrade.Owned) bool { return s.sources[o.State] == nil }), nil
}

// Refresh reads the named states anew and returns when each has been read or could not be: what came of it
// is in Readings. Whoever asks while a state is being read waits for that reading. Error: CodeNotFound for
// a state that is not known, else one of ours or the context's cause, never one of a state.
func (s *States) Refresh(ctx context.Context, names []upgrade.StateName) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	var asked []*source
	for _, name := range names {
		src := s.sources[name]
		if src == nil {
			return &upgrade.Error{
				Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no state is called %s", name),
				Hint: "a stack's own is STACK/ENVIRONMENT; others are under states in the configuration",
			}
		}
		if !slices.Contains(asked, src) {
			asked = append(asked, src)
		}
	}
	problems := make([]error, len(asked))
	var group sync.WaitGroup
	for i, src := range asked {
		group.Go(func() { problems[i] = s.join(ctx, src) })
	}
	group.Wait()
	return errors.Join(problems...)
}

// RefreshOlder reads every state anew whose last try was at or before that time.
func (s *States) RefreshOlder(ctx context.Context, than time.Time) error {
	readings, err := s.Readings(ctx)
	if err != nil {
		return err
	}
	var names []upgrade.StateName
	for _, reading := range readings {
		if !reading.TriedAt.After(than) {
			names = append(names, reading.State)
		}
	}
	return s.Refresh(ctx, names)
}
