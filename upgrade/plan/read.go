package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Stream reads the JSON that `terraform show -json PLANFILE` prints and hands each resource change to
// each, no-ops and reads included, in the order of the file; values that Terraform marks as sensitive
// are replaced with "(sensitive)". It holds one change at a time, never the whole plan. An error of
// each ends the reading and is returned as it is.
//
// Format versions 0.x (Terraform 0.14) and 1.x (Terraform 1.1 and later, OpenTofu) are understood:
// https://developer.hashicorp.com/terraform/internals/json-format. Error: CodeInvalid when r is not
// such a plan or has an action that is not known here.
func Stream(r io.Reader, each func(Change) error) (Header, []Output, error) {
	var outputs []Output
	header, err := scan(r, func(e element) error {
		switch e.kind {
		case kindResource:
			return each(e.change.redacted(e.sensitive))
		case kindOutput:
			if !slices.Equal(e.output.Actions, []string{string(NoOp)}) {
				outputs = append(outputs, e.output.redacted(e.sensitive))
			}
		case kindInvocation:
		}
		return nil
	})
	return header, outputs, err
}

// element is one entry of a plan's lists of changes.
type element struct {
	kind         elementKind
	change       Change
	output       Output
	afterUnknown json.RawMessage // of an output
	importing    json.RawMessage // of a resource: what is brought under Terraform's management
	raw          json.RawMessage // of an action invocation
	sensitive    sensitivity
}

type elementKind string

const (
	kindResource   elementKind = "resource"
	kindOutput     elementKind = "output"
	kindInvocation elementKind = "action" // Terraform 1.14 and later: something that runs, changing no resource
)

// scan walks over the top level of a plan and hands on each element.
func scan(r io.Reader, each func(element) error) (Header, error) {
	in := newStream("plan", r)
	var header Header
	if b, err := in.peek(); err != nil {
		return header, err
	} else if b != '{' {
		return header, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "this is not the JSON of a plan"}
	}
	seen := map[string]bool{}
	err := in.object(func(key string) error {
		if seen[key] {
			return invalid("the plan has %q twice", key)
		}
		if len(seen) < 100 { // there are about fifteen; whatever has more is not Terraform's
			seen[key] = true
		}
		return scanKey(in, key, &header, each)
	})
	if err == nil {
		err = in.end()
	}
	switch {
	case err != nil:
		return header, err
	case header.FormatVersion == "":
		return header, invalid("it has no format_version, so it is not a plan")
	case !seen["planned_values"] && !seen["resource_changes"] && !seen["output_changes"]:
		return header, invalid("it has neither planned values nor changes, so it is not a plan")
	}
	return header, nil
}

func scanKey(in *stream, key string, header *Header, each func(element) error) error {
	switch key {
	case "format_version":
		if err := in.decode(&header.FormatVersion); err != nil {
			return err
		}
		major, _, _ := strings.Cut(header.FormatVersion, ".")
		if major != "0" && major != "1" {
			return invalid("the plan has format version %q, and only 0.x and 1.x are understood", header.FormatVersion)
		}
		return nil
	case "terraform_version":
		return in.decode(&header.Tool)
	case "errored":
		return in.decode(&header.Errored)
	case "resource_changes":
		return in.list(func() error { return readResource(in, each) })
	case "output_changes":
		return readOutputs(in, each)
	case "action_invocations":
		return in.list(func() error {
			e := element{kind: kindInvocation}
			if err := in.decode(&e.raw); err != nil {
				return err
			}
			return each(e)
		})
	}
	return in.skip()
}

// fields is a JSON object with its keys told apart exactly; encoding/json's structs would ignore case.
type fields map[string]json.RawMessage

func (f fields) text(key string) (string, error) {
	raw, ok := f[key]
	if !ok {
		return "", nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", invalid("%q of a change is not a string", key)
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

func (f fields) value(key string) json.RawMessage {
	if raw, ok := f[key]; ok {
		return raw
	}
	return json.RawMessage("null")
}

func readResource(in *stream, each func(element) error) error {
	var all, change fields
	if err := in.decode(&all); err != nil {
		return err
	}
	if err := json.Unmarshal(all.value("change"), &change); err != nil || change == nil {
		return invalid("a resource change has no change")
	}
	e := element{kind: kindResource, importing: change.value("importing")}
	var err error
	for key, to := range map[string]*string{
		"address": &e.change.Address, "previous_address": &e.change.PreviousAddress, "mode": &e.change.Mode,
		"type": &e.change.Type, "name": &e.change.Name, "provider_name": &e.change.Provider,
		"deposed": &e.change.Deposed, "action_reason": &e.change.Reason,
	} {
		if *to, err = all.text(key); err != nil {
			return err
		}
	}
	if e.change.Address == "" {
		return invalid("a resource change has no address")
	}
	actions, err := change.actions()
	if err != nil {
		return err
	}
	if e.change.Action, e.change.CreateFirst, err = normal(actions); err != nil {
		return invalid("%s: %w", e.change.Address, err)
	}
	e.change.Before, e.change.After = change.value("before"), change.value("after")
	e.change.AfterUnknown = change.value("after_unknown")
	e.change.ReplacePaths = change.value("replace_paths")
	e.sensitive = sensitivity{before: change.value("before_sensitive"), after: change.value("after_sensitive")}
	return each(e)
}

func readOutputs(in *stream, each func(element) error) error {
	seen := map[string]bool{}
	return in.object(func(name string) error {
		if seen[name] {
			return invalid("the plan has the output %q twice", name)
		}
		seen[name] = true
		return readOutput(in, name, each)
	})
}

func readOutput(in *stream, name string, each func(element) error) error {
	var change fields
	if err := in.decode(&change); err != nil {
		return err
	}
	actions, err := change.actions()
	if err != nil {
		return err
	}
	return each(element{
		kind:         kindOutput,
		output:       Output{Name: name, Actions: actions, Before: change.value("before"), After: change.value("after")},
		afterUnknown: change.value("after_unknown"),
		sensitive:    sensitivity{before: change.value("before_sensitive"), after: change.value("after_sensitive")},
	})
}

func (f fields) actions() ([]string, error) {
	var actions []string
	if err := json.Unmarshal(f.value("actions"), &actions); err != nil || len(actions) == 0 {
		return nil, invalid("a change has no actions")
	}
	return actions, nil
}

// normal turns Terraform's list of actions into one Action, and reports whether the new object is
// made first. A replacement whose old object is forgotten instead of deleted counts as Replace too:
// whoever guards against losing an object wants to hear of it.
func normal(actions []string) (action Action, createFirst bool, err error) {
	switch strings.Join(actions, " ") {
	case "delete create", "forget create":
		return Replace, false, nil
	case "create delete", "create forget":
		return Replace, true, nil
	case "no-op", "create", "read", "update", "delete", "forget":
		return Action(actions[0]), false, nil
	}
	return "", false, fmt.Errorf("the action %q is not known here", strings.Join(actions, ", "))
}
