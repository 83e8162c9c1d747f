package plan

import (
	"bytes"
	"encoding/json"
	"errors"
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
			return each(e.change.redacted(e.sensitive).owned())
		case kindOutput:
			if !slices.Equal(e.output.Actions, []string{string(NoOp)}) {
				outputs = append(outputs, e.output.redacted(e.sensitive).owned())
			}
		case kindInvocation:
		}
		return nil
	})
	return header, outputs, err
}

// element is one entry of a plan's lists of changes. Its raw values are those of the reader: they are
// good until the next one is read.
type element struct {
	kind      elementKind
	change    Change
	output    Output
	unknown   value // after an output's change
	before    value
	after     value
	later     value // a resource's after_unknown
	paths     value
	importing value           // of a resource: what is brought under Terraform's management
	raw       json.RawMessage // of an action invocation
	sensitive sensitivity
}

// value is a JSON value; plain says that it is written as encoding/json would write it.
type value struct {
	raw   json.RawMessage
	plain bool
}

// none is the value of what is not there.
func none() value { return value{raw: json.RawMessage("null"), plain: true} }

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
			raw, err := in.raw()
			if err != nil {
				return err
			}
			return each(element{kind: kindInvocation, raw: raw})
		})
	}
	return in.skip()
}

func readResource(in *stream, each func(element) error) error {
	raw, err := in.raw()
	if err != nil {
		return err
	}
	parts, change, ok := nestedParts(raw, in.outer, "change", in.inner)
	if !ok {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "this is not the JSON of a plan"}
	}
	in.outer = parts
	if change != nil {
		in.inner = change
	}
	e := element{kind: kindResource}
	c := &e.change
	for _, p := range parts {
		var to *string
		few := true // the text is one of few
		switch string(p.name) {
		case "address":
			to, few = &c.Address, false
		case "previous_address":
			to, few = &c.PreviousAddress, false
		case "name":
			to, few = &c.Name, false
		case "deposed":
			to, few = &c.Deposed, false
		case "mode":
			to = &c.Mode
		case "type":
			to = &c.Type
		case "provider_name":
			to = &c.Provider
		case "action_reason":
			to = &c.Reason
		}
		if to == nil {
			continue
		}
		if *to, ok = in.text(p.value, few); !ok {
			return invalid("%q of a change is not a string", p.name)
		}
	}
	switch {
	case change == nil:
		return invalid("a resource change has no change")
	case c.Address == "":
		return invalid("a resource change has no address")
	}
	if err := e.readChange(change); err != nil {
		return invalid("%s: %w", c.Address, err)
	}
	return each(e)
}

// readChange reads the object "change" of a resource.
func (e *element) readChange(parts []part) error {
	e.before, e.after, e.later, e.paths, e.importing = none(), none(), none(), none(), none()
	e.sensitive = sensitivity{before: none().raw, after: none().raw}
	var actions []string
	for _, p := range parts {
		switch v := (value{raw: p.value, plain: p.plain}); string(p.name) {
		case "actions":
			actions = actionsOf(p.value)
		case "before":
			e.before = v
		case "after":
			e.after = v
		case "after_unknown":
			e.later = v
		case "replace_paths":
			e.paths = v
		case "importing":
			e.importing = v
		case "before_sensitive":
			e.sensitive.before = v.raw
		case "after_sensitive":
			e.sensitive.after = v.raw
		}
	}
	if len(actions) == 0 {
		return errors.New("a change has no actions")
	}
	c := &e.change
	c.Before, c.After, c.AfterUnknown, c.ReplacePaths = e.before.raw, e.after.raw, e.later.raw, e.paths.raw
	var err error
	c.Action, c.CreateFirst, err = normal(actions)
	return err
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
	raw, err := in.raw()
	if err != nil {
		return err
	}
	parts, ok := partsOf(raw, in.outer)
	if !ok {
		return invalid("the output %q has no change", name)
	}
	in.outer = parts
	e := element{
		kind: kindOutput, output: Output{Name: name}, before: none(), after: none(), unknown: none(),
		sensitive: sensitivity{before: none().raw, after: none().raw},
	}
	for _, p := range parts {
		switch v := (value{raw: p.value, plain: p.plain}); string(p.name) {
		case "actions":
			e.output.Actions = actionsOf(p.value)
		case "before":
			e.before = v
		case "after":
			e.after = v
		case "after_unknown":
			e.unknown = v
		case "before_sensitive":
			e.sensitive.before = v.raw
		case "after_sensitive":
			e.sensitive.after = v.raw
		}
	}
	if len(e.output.Actions) == 0 {
		return invalid("a change has no actions")
	}
	e.output.Before, e.output.After = e.before.raw, e.after.raw
	return each(e)
}

// actionsOf reads a list of actions; nil for what is none.
func actionsOf(raw []byte) []string {
	switch string(raw) { // most plans have nothing else, a hundred thousand times
	case `["no-op"]`:
		return []string{"no-op"}
	case `["update"]`:
		return []string{"update"}
	}
	var actions []string
	if json.Unmarshal(raw, &actions) != nil {
		return nil
	}
	return actions
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

// owned returns the change with its values in memory of their own.
func (c Change) owned() Change {
	c.Before, c.After = bytes.Clone(c.Before), bytes.Clone(c.After)
	c.AfterUnknown, c.ReplacePaths = bytes.Clone(c.AfterUnknown), bytes.Clone(c.ReplacePaths)
	return c
}

func (o Output) owned() Output {
	o.Before, o.After = bytes.Clone(o.Before), bytes.Clone(o.After)
	return o
}
