package plan

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Only returns an object with just the members that keep wants, in its own memory; null for what is no
// object.
func Only(raw json.RawMessage, keep func(name string) bool) json.RawMessage {
	parts, ok := partsOf(raw, make([]part, 0, 32))
	if !ok {
		return json.RawMessage("null")
	}
	some := append(make([]byte, 0, min(len(raw)+2, 512)), '{')
	for _, p := range parts {
		if !keep(string(p.name)) {
			continue
		}
		if len(some) > 1 {
			some = append(some, ',')
		}
		some = appendText(some, string(p.name))
		some = append(append(some, ':'), p.value...)
	}
	return append(some, '}')
}

// appendText writes a string as encoding/json does.
func appendText(b []byte, text string) []byte {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ', c >= utf8.RuneSelf, c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, err := json.Marshal(text)
			if err != nil { // which strings never give
				quoted = []byte(`""`)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// unquoted returns a JSON string's text; ok is false when raw is none.
func unquoted(raw []byte) (text string, ok bool) {
	if len(raw) >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1]), true
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}
