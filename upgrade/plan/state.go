package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/upgradegate/upgradegate/upgrade"
)

// StateHeader is what a state says about itself, and where its things are.
type StateHeader struct {
	Version int    // of the format, 4; 0 for the empty input that is the state of a new stack
	Tool    string // version of Terraform or OpenTofu that wrote it
	Serial  int64
	Lineage string
	Objects int    // that were handed on
	Account string // of all the things, as far as they say; "" when they say different ones, or none
	Region  string // likewise
}

// Objects reads the JSON that `terraform state pull` prints and hands each managed thing that it can
// identify to each, objects that a replacement left behind ("deposed") included; data sources are left
// out. It holds one resource instance at a time. Of the values it looks at the identifying ones alone, and
// never at one that the state marks as sensitive. No input at all is the empty state of a new stack. An
// error of each ends the reading and is returned as it is.
//
// Version 4 of the format is understood, which Terraform has written since 0.12, and OpenTofu. Error:
// CodeInvalid when r is no such state, or one that OpenTofu encrypted.
func Objects(r io.Reader, each func(Object) error) (StateHeader, error) {
	s := &stateReader{in: newStream("state", r), each: each}
	if _, err := s.in.in.Peek(1); errors.Is(err, io.EOF) {
		return StateHeader{}, nil
	} else if _, err := s.in.peek(); err != nil && blank(s.in) {
		return StateHeader{}, nil
	}
	if b, err := s.in.peek(); err != nil {
		return StateHeader{}, err
	} else if b != '{' {
		return StateHeader{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "this is not the JSON of a state"}
	}
	err := s.in.object(s.key)
	if err == nil {
		err = s.in.end()
	}
	if err == nil && s.header.Version == 0 {
		err = invalid("it has no version, so it is not a state")
	}
	s.header.Account, s.header.Region = s.account.value, s.region.value
	return s.header, err
}

// blank reports whether the input ended without anything but white space.
func blank(in *stream) bool {
	_, err := in.in.Peek(1)
	return errors.Is(err, io.EOF)
}

type stateReader struct {
	in              *stream
	each            func(Object) error
	header          StateHeader
	account, region agreed
}

// agreed is a value on which all agree who have one.
type agreed struct {
	value    string
	disputed bool
}

func (a *agreed) hear(value string) {
	switch {
	case value == "" || a.disputed || value == a.value:
	case a.value == "":
		a.value = value
	default:
		a.value, a.disputed = "", true
	}
}

func (s *stateReader) key(key string) error {
	switch key {
	case "version":
		if err := s.in.decode(&s.header.Version); err != nil {
			return err
		}
		if s.header.Version != 4 {
			return invalid("the state has version %d, and only 4 is understood, which Terraform writes since 0.12", s.header.Version)
		}
		return nil
	case "terraform_version":
		return s.in.decode(&s.header.Tool)
	case "serial":
		return s.in.decode(&s.header.Serial)
	case "lineage":
		return s.in.decode(&s.header.Lineage)
	case "encrypted_data", "encryption_version":
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "the state is encrypted by OpenTofu, so what it owns cannot be read",
			Hint: "let `tofu state pull` decrypt it: give it the encryption settings in TF_ENCRYPTION",
		}
	case "resources":
		if s.header.Version == 0 {
			return invalid("the state does not begin with its version")
		}
		return s.in.list(s.resource)
	}
	return s.in.skip()
}

// place is what a state says of a resource beside its instances.
type place struct{ module, mode, kind, name string }

// instance is what is kept of one object of a resource.
type instance struct {
	index   string // as in an address: "", "[0]" or `["a"]`
	deposed string
	values  map[string]string
}

func (s *stateReader) resource() error {
	var at place
	var early []instance // that came before the resource's name, as in a state whose keys somebody sorted
	done := false
	err := s.in.object(func(key string) error {
		switch key {
		case "module", "mode", "type", "name":
			if done {
				return invalid("a resource of the state has its %s behind its instances", key)
			}
			return s.in.decode(map[string]*string{"module": &at.module, "mode": &at.mode, "type": &at.kind, "name": &at.name}[key])
		case "instances":
			whole := at.mode != "" && at.kind != "" && at.name != ""
			done = whole
			return s.in.list(func() error {
				one, err := s.instance()
				if err != nil || !whole {
					early = append(early, one)
					return err
				}
				return s.hand(at, one)
			})
		}
		return s.in.skip()
	})
	if err != nil {
		return err
	}
	if at.kind == "" || at.name == "" {
		return invalid("a resource of the state has no type or no name")
	}
	for _, one := range early {
		if err := s.hand(at, one); err != nil {
			return err
		}
	}
	return nil
}

func (s *stateReader) instance() (instance, error) {
	var all fields
	if err := s.in.decode(&all); err != nil {
		return instance{}, err
	}
	var one instance
	var err error
	if one.index, err = indexOf(all.value("index_key")); err != nil {
		return instance{}, err
	}
	if one.deposed, err = all.text("deposed"); err != nil {
		return instance{}, err
	}
	values := all.value("attributes")
	if string(values) == "null" {
		values = all.value("attributes_flat") // of a resource that nobody has touched since Terraform 0.11
	}
	one.values = textsOf(values)
	secret, known := sensitiveNames(all.value("sensitive_attributes"))
	for name := range one.values {
		if _, hides := secret[name]; hides || !known {
			delete(one.values, name)
		}
	}
	return one, nil
}

// sensitiveNames returns the top-level attributes in which something is sensitive; known is false when the
// list cannot be made sense of, and then everything may be. Its form is a list of paths, each a list of
// {"type": "get_attr", "value": "password"} and the like.
func sensitiveNames(raw json.RawMessage) (names map[string]struct{}, known bool) {
	var paths [][]struct {
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(raw, &paths); err != nil {
		return nil, false
	}
	names = map[string]struct{}{}
	for _, path := range paths {
		if len(path) == 0 || path[0].Type != "get_attr" || textOf(path[0].Value) == "" {
			return nil, false
		}
		names[textOf(path[0].Value)] = struct{}{}
	}
	return names, true
}

// hand hands an instance on, if it is a managed thing that can be identified.
func (s *stateReader) hand(at place, one instance) error {
	if at.mode != "managed" {
		return nil
	}
	address := at.kind + "." + at.name + one.index
	if at.module != "" {
		address = at.module + "." + address
	}
	if one.deposed != "" {
		address += " (deposed " + one.deposed + ")"
	}
	o := objectOf(at.kind, address, one.values)
	if o.Key == "" {
		return nil
	}
	s.account.hear(o.Account)
	s.region.hear(o.Region)
	s.header.Objects++
	return s.each(o)
}

// indexOf writes the key of an instance as addresses have it.
func indexOf(raw json.RawMessage) (string, error) {
	if string(raw) == "null" {
		return "", nil
	}
	var number int64
	if json.Unmarshal(raw, &number) == nil {
		return fmt.Sprintf("[%d]", number), nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return "", invalid("an instance of the state has an index that is neither a number nor text")
	}
	return "[" + quoted(text) + "]", nil
}

// quoted writes text as HCL does, and so Terraform in addresses: internal/addrs/instance_key.go.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range text {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case (r == '$' || r == '%') && strings.HasPrefix(text[i+1:], "{"):
			b.WriteRune(r)
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 1<<16:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
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
		return "", invalid("%q of an instance is not a string", key)
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
