package plancheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// States is what the states in a folder own.
type States struct {
	readings []upgrade.Reading
	owned    map[thing][]upgrade.Owned
}

type thing struct{ kind, key string }

// ReadStates reads every *.tfstate and *.json of a folder, as `terraform state pull` writes them. Each is
// named after its file; the one of the name own is the plan's own. A file that cannot be read is a state
// of which nothing is known, and not an error. Error: CodeInvalid when there is no such folder, no
// state in it, or none of the name own.
func ReadStates(dir string, own upgrade.StackName, now time.Time) (*States, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s cannot be read", dir), Hint: "give a folder of states", Cause: err}
	}
	s := &States{owned: map[thing][]upgrade.Owned{}}
	for _, entry := range entries {
		ext := filepath.Ext(entry.Name())
		if entry.IsDir() || ext != ".tfstate" && ext != ".json" {
			continue
		}
		name := upgrade.StateName(strings.TrimSuffix(entry.Name(), ext))
		if slices.ContainsFunc(s.readings, func(r upgrade.Reading) bool { return r.State == name }) {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s has two states of the name %s", dir, name), Hint: "keep one of the two"}
		}
		s.read(filepath.Join(dir, entry.Name()), name, now)
	}
	if len(s.readings) == 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s has no state in it", dir), Hint: "write each there with `terraform state pull > NAME.tfstate`"}
	}
	if own == "" {
		return s, nil
	}
	for i := range s.readings {
		if s.readings[i].State == upgrade.StateName(own) {
			s.readings[i].Stack = own
			return s, nil
		}
	}
	return s, nil // the state of a new stack need not be there
}

func (s *States) read(file string, name upgrade.StateName, now time.Time) {
	r := upgrade.Reading{State: name, TriedAt: now}
	defer func() { s.readings = append(s.readings, r) }()
	in, err := os.Open(file) //nolint:gosec // the operator names the folder
	if err != nil {
		r.Problem = "the file cannot be read"
		return
	}
	defer func() { _ = in.Close() }() // it was only read
	var owned []upgrade.Owned
	header, err := plan.Objects(in, func(o plan.Object) error {
		owned = append(owned, upgrade.Owned{State: name, Type: o.Type, Key: o.Key, Account: o.Account, Region: o.Region, Address: o.Address})
		return nil
	})
	if err != nil {
		r.Problem = problem(err)
		return
	}
	r.ReadAt, r.Lineage, r.Serial = now, header.Lineage, header.Serial
	r.Account, r.Region, r.Objects = header.Account, header.Region, header.Objects
	for _, one := range owned {
		s.owned[thing{one.Type, one.Key}] = append(s.owned[thing{one.Type, one.Key}], one)
	}
}

// problem says in a few words why a state cannot be read.
func problem(err error) string {
	ours, ok := errors.AsType[*upgrade.Error](err)
	if !ok {
		return "the file cannot be read"
	}
	if ours.Hint != "" {
		return ours.Msg + "; " + ours.Hint
	}
	return ours.Msg
}

// Readings returns the states.
func (s *States) Readings(context.Context) ([]upgrade.Reading, error) {
	return slices.Clone(s.readings), nil
}

// Refresh does nothing: the files are as they are.
func (s *States) Refresh(context.Context, []upgrade.StateName) error { return nil }

// Owners returns every place in every state in which one of the things is.
func (s *States) Owners(_ context.Context, objects []plan.Object) ([]upgrade.Owned, error) {
	var found []upgrade.Owned
	seen := map[thing]bool{}
	for _, o := range objects {
		key := thing{o.Type, o.Key}
		if !seen[key] {
			seen[key] = true
			found = append(found, s.owned[key]...)
		}
	}
	return found, nil
}
