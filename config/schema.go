package config

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// schema is the part of JSON Schema 2020-12 in which the table of keys is told to editors.
type schema struct {
	Dialect     string     `json:"$schema,omitempty"`
	Ref         string     `json:"$ref,omitempty"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description,omitempty"`
	Type        any        `json:"type,omitempty"` // one type, or a list of them
	Const       string     `json:"const,omitempty"`
	Enum        []string   `json:"enum,omitempty"`
	Default     any        `json:"default,omitempty"`
	Pattern     string     `json:"pattern,omitempty"`
	Format      string     `json:"format,omitempty"`
	MinLength   int        `json:"minLength,omitempty"`
	MaxLength   int        `json:"maxLength,omitempty"`
	Minimum     *int64     `json:"minimum,omitempty"`
	Maximum     *int64     `json:"maximum,omitempty"`
	Items       *schema    `json:"items,omitempty"`
	MinItems    int        `json:"minItems,omitempty"`
	Unique      bool       `json:"uniqueItems,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Names       *schema    `json:"propertyNames,omitempty"`
	Required    []string   `json:"required,omitempty"`
	Additional  any        `json:"additionalProperties,omitempty"` // false, or the schema of every value
	OneOf       []schema   `json:"oneOf,omitempty"`
	AnyOf       []schema   `json:"anyOf,omitempty"`
	Defs        properties `json:"$defs,omitempty"`
}

// properties are the keys of an object in the order of the table, which is the order of the manual.
type properties []property

type property struct {
	key    string
	schema schema
}

// MarshalJSON writes an object whose keys keep their order.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(one.key)
		if err != nil {
			return nil, fmt.Errorf("write key %s: %w", one.key, err)
		}
		value, err := json.Marshal(one.schema)
		if err != nil {
			return nil, fmt.Errorf("write the schema of %s: %w", one.key, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// keys returns the keys that an object of this schema may have.
func (s schema) keys() []string {
	keys := make([]string, len(s.Properties))
	for i, one := range s.Properties {
		keys[i] = one.key
	}
	return keys
}

// Schema returns the JSON Schema (2020-12) of the file, indented, for editors that complete and check
// as one types. What needs more than one key, such as references by name, it cannot tell.
func Schema() ([]byte, error) {
	root := table().schema
	root.Dialect = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "upgradegate.yaml"
	root.Description = "The configuration of upgradegate. Secrets come by reference: {env: NAME} or {file: PATH}."
	root.Defs = properties{{"secret", secretSchema()}, {"duration", durationSchema()}}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return b.Bytes(), nil
}
