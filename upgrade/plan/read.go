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
	p := newParser()
	header, err := scan(r, func(raw []byte) error {
		e, err := p.resource(raw)
		if err != nil {
			return err
		}
		return each(p.owned(e.change.redacted(e.sensitive)))
	}, func(e element) error {
		if e.kind == kindOutput && !slices.Equal(e.output.Actions, []string{string(NoOp)}) {
			outputs = append(outputs, e.output.redacted(e.sensitive).owned())
		}
		return nil
	})
	return header, outputs, err
}

// scan walks over the top level of a plan and hands on each resource change, unread and good until the next
// one, and each other element.
func scan(r io.Reader, resource func(raw []byte) error, each func(element) error) (Header, error) {
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
		return scanKey(in, key, &header, resource, each)
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

func scanKey(in *stream, key string, header *Header, resource func([]byte) error, each func(element) error) error {
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
		return in.list(func() error {
			raw, err := in.raw()
			if err != nil {
				return err
			}
			return resource(raw)
		})
	case "resource_drift":
		return in.list(func() error {
			raw, err := in.raw()
			if err != nil {
				return err
			}
			return each(element{kind: kindDrift, raw: raw})
		})
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
	parts, ok := partsOf(raw, nil)
	if !ok {
		return invalid("the output %q has no change", name)
	}
	none := value{raw: json.RawMessage("null"), plain: true}
	e := element{
		kind: kindOutput, output: Output{Name: name}, before: none, after: none, unknown: none,
		sensitive: sensitivity{before: none.raw, after: none.raw},
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
