package plan

import (
	"bytes"
	"encoding/json"
	"slices"
)

// hidden stands where Terraform says that a value is sensitive.
const hidden = "(sensitive)"

// sensitivity is what a plan says about which parts of a change must not be shown: true for a whole
// value, or an object or list of the value's shape.
type sensitivity struct{ before, after json.RawMessage }

func (c Change) redacted(s sensitivity) Change {
	c.Before, c.After = redact(c.Before, s.before), redact(c.After, s.after)
	return c
}

func (o Output) redacted(s sensitivity) Output {
	o.Before, o.After = redact(o.Before, s.before), redact(o.After, s.after)
	return o
}

// redact returns value with every part replaced that marks says is sensitive. A value whose marks
// cannot be made sense of is hidden whole.
func redact(value, marks json.RawMessage) json.RawMessage {
	if !marked(marks) || string(value) == "null" {
		return value
	}
	v, errValue := generic(value)
	m, errMarks := generic(marks)
	if errValue != nil || errMarks != nil {
		v = hidden
	}
	out, err := json.Marshal(hide(v, m))
	if err != nil {
		return json.RawMessage(`"` + hidden + `"`)
	}
	return out
}

func hide(value, marks any) any {
	switch m := marks.(type) {
	case bool:
		if m && value != nil {
			return hidden
		}
	case map[string]any:
		object, ok := value.(map[string]any)
		if !ok {
			return hideAny(value, m)
		}
		for name, mark := range m {
			if part, ok := object[name]; ok {
				object[name] = hide(part, mark)
			}
		}
	case []any:
		list, ok := value.([]any)
		if !ok {
			return hideAny(value, m)
		}
		for i, mark := range m {
			if i < len(list) {
				list[i] = hide(list[i], mark)
			} else if sensitive(mark) && len(list) > 0 { // marks that do not fit their list
				return hidden
			}
		}
	}
	return value
}

// hideAny hides a value of another shape than its marks if any of them is set.
func hideAny(value, marks any) any {
	if value != nil && sensitive(marks) {
		return hidden
	}
	return value
}

func sensitive(marks any) bool {
	switch m := marks.(type) {
	case bool:
		return m
	case map[string]any:
		for _, mark := range m {
			if sensitive(mark) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(m, sensitive)
	}
	return false
}

// marked reports whether any mark is set, without decoding the usual case.
func marked(marks json.RawMessage) bool {
	switch string(marks) {
	case "", "null", "false", "{}", "[]":
		return false
	}
	if !bytes.Contains(marks, []byte("true")) { // JSON has no other way to write it
		return false
	}
	m, err := generic(marks)
	return err != nil || sensitive(m)
}
