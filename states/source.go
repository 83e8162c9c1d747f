package states

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

// source is a state and how to come by it.
type source struct {
	name       upgrade.StateName
	stack      upgrade.Stack // of a stack's own state
	production bool          // of a stack's own state
	foreign    *Foreign      // nil: a stack's own
	site       upgrade.Site  // where and how Terraform reads it
	dir        string        // its folder
	turn       chan struct{} // holds a value while it is being read
	planning   chan struct{} // holds a value while it is being planned

	mu     sync.Mutex // guards flight
	flight *flight
}

// reading returns a reading of the source in which nothing was read.
func (src *source) reading() upgrade.Reading {
	return upgrade.Reading{State: src.name, Stack: src.stack.Name, Env: src.site.Environment}
}

// digest tells one state from another under the same name. Values of variables are in it, since some
// backends are told by them where they are; what it is of cannot be found out from it.
func (src *source) digest() string {
	sum := sha256.New()
	line := func(words ...string) { _, _ = fmt.Fprintf(sum, "%q\n", words) } // a hash takes everything
	backend := ""
	if src.foreign != nil {
		backend = src.foreign.Backend
	}
	line(backend, src.stack.Project, src.stack.Dir, src.site.Workspace)
	for _, name := range slices.Sorted(maps.Keys(src.site.BackendConfig)) {
		line("config", name, src.site.BackendConfig[name])
	}
	for _, name := range slices.Sorted(maps.Keys(src.site.Env)) {
		line("env", name, src.site.Env[name].Reveal())
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// digestFile says, in a source's folder, which state the folder and the stored reading are of.
const digestFile = "source"

// begin forgets, once, what is stored of states that are not configured any more, or that are others now
// under their old name.
func (s *States) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return nil
	}
	stored, err := s.Store.Readings(ctx)
	if err != nil {
		return fmt.Errorf("look up readings of states: %w", err)
	}
	var changed []*source
	var gone []upgrade.StateName
	for _, src := range s.sources {
		was, err := os.ReadFile(filepath.Join(src.dir, digestFile))
		if err != nil || string(was) != src.digest() {
			changed = append(changed, src)
			gone = append(gone, src.name)
		}
	}
	for _, reading := range stored {
		if s.sources[reading.State] == nil {
			gone = append(gone, reading.State)
		}
	}
	if err := s.Store.ForgetStates(ctx, gone...); err != nil {
		return fmt.Errorf("forget states: %w", err)
	}
	for _, name := range gone {
		if err := os.RemoveAll(s.dirOf(name)); err != nil {
			return fmt.Errorf("remove the folder of a state: %w", err)
		}
	}
	for _, src := range changed { // last: until it is written, all of this is done again
		err := errors.Join(os.MkdirAll(src.dir, 0o750), os.WriteFile(filepath.Join(src.dir, digestFile), []byte(src.digest()), 0o600))
		if err != nil {
			return fmt.Errorf("make the folder of a state: %w", err)
		}
	}
	s.known = true
	return nil
}
