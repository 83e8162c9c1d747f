package plan

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/upgradegate/upgradegate/upgrade"
)

// element is one entry of a plan's lists of changes. Its raw values share the memory of what it was
// read from.
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

type elementKind string

const (
	kindResource   elementKind = "resource"
	kindOutput     elementKind = "output"
	kindDrift      elementKind = "drift"  // a resource that is not as the state had it; no change of the plan
	kindInvocation elementKind = "action" // Terraform 1.14 and later: something that runs, changing no resource
)

// parser takes resource changes to pieces, one after another.
type parser struct {
	outer, inner []part            // of the change that is read, to be used again
	words        map[string]string // texts that come again and again, once each
	line         []byte            // for the digest, to be used again
	null         json.RawMessage   // for every value that is not there; never written to
}

func newParser() *parser { return &parser{words: map[string]string{}, null: json.RawMessage("null")} }

// maxWords is how many texts are remembered: types and providers are a few dozen.
const maxWords = 10_000

// text returns the text of a JSON string, or "" for null. Few says that it is likely to come again.
func (p *parser) text(raw []byte, few bool) (text string, ok bool) {
	if string(raw) == "null" {
		return "", true
	}
	if few {
		if text, ok := p.words[string(raw)]; ok {
			return text, true
		}
	}
	if text, ok = unquoted(raw); ok && few && len(p.words) < maxWords {
		p.words[string(raw)] = text
	}
	return text, ok
}

// resource reads one resource change. What comes back shares the memory of raw.
func (p *parser) resource(raw []byte) (element, error) {
	e := element{kind: kindResource}
	parts, change, ok := nestedParts(raw, p.outer, "change", p.inner)
	if !ok {
		return e, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "this is not the JSON of a plan"}
	}
	p.outer = parts
	if change != nil {
		p.inner = change
	}
	c := &e.change
	for _, part := range parts {
		var to *string
		few := true // the text is one of few
		switch string(part.name) {
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
		if *to, ok = p.text(part.value, few); !ok {
			return e, invalid("%q of a change is not a string", part.name)
		}
	}
	switch {
	case change == nil:
		return e, invalid("a resource change has no change")
	case c.Address == "":
		return e, invalid("a resource change has no address")
	}
	if err := p.change(&e, change); err != nil {
		return e, invalid("%s: %w", c.Address, err)
	}
	return e, nil
}

// change reads the object "change" of a resource.
func (p *parser) change(e *element, parts []part) error {
	none := value{raw: p.null, plain: true}
	e.before, e.after, e.later, e.paths, e.importing = none, none, none, none, none
	e.sensitive = sensitivity{before: p.null, after: p.null}
	var actions []byte
	for _, part := range parts {
		switch v := (value{raw: part.value, plain: part.plain}); string(part.name) {
		case "actions":
			actions = part.value
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
	c := &e.change
	c.Before, c.After, c.AfterUnknown, c.ReplacePaths = e.before.raw, e.after.raw, e.later.raw, e.paths.raw
	var err error
	c.Action, c.CreateFirst, err = actionOf(actions)
	return err
}

// actionOf reads a resource's list of actions.
func actionOf(raw []byte) (action Action, createFirst bool, err error) {
	switch string(raw) { // as Terraform writes them; all else is taken to pieces
	case `["update"]`:
		return Update, false, nil
	case `["no-op"]`:
		return NoOp, false, nil
	case `["create"]`:
		return Create, false, nil
	case `["delete"]`:
		return Delete, false, nil
	case `["delete","create"]`:
		return Replace, false, nil
	}
	actions := actionsOf(raw)
	if len(actions) == 0 {
		return "", false, errors.New("a change has no actions")
	}
	return normal(actions)
}

// actionsOf reads a list of actions; nil for what is none.
func actionsOf(raw []byte) []string {
	var actions []string
	if json.Unmarshal(raw, &actions) != nil {
		return nil
	}
	return actions
}

// owned returns the change with its values in memory of their own.
func (p *parser) owned(c Change) Change {
	c.Before, c.After = p.own(c.Before), p.own(c.After)
	c.AfterUnknown, c.ReplacePaths = p.own(c.AfterUnknown), p.own(c.ReplacePaths)
	return c
}

func (p *parser) own(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return p.null
	}
	return bytes.Clone(raw)
}

func (o Output) owned() Output {
	o.Before, o.After = bytes.Clone(o.Before), bytes.Clone(o.After)
	return o
}
