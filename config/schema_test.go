package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/internal/testkit"
)

func TestSchema(t *testing.T) {
	got, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/schema.json", got)
}

// TestSchemaAgreesWithReader holds files against the schema as an editor would: it lets right files
// through, and refuses those of whose mistakes one key alone can tell.
func TestSchemaAgreesWithReader(t *testing.T) {
	src, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	v := validator{}
	if err := json.Unmarshal(src, &v.root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"full", "minimal"} {
		if wrong := v.file(t, "testdata/"+name+".yaml"); wrong != "" {
			t.Errorf("%s.yaml is right, but the schema says: %s", name, wrong)
		}
	}
	refused := 0
	for _, name := range schemaCases() {
		t.Run(name, func(t *testing.T) {
			if wrong := v.file(t, filepath.Join("testdata/wrong", name+".yaml")); wrong == "" {
				t.Error("the schema has nothing against it")
			} else {
				refused++
			}
		})
	}
	if refused == 0 {
		t.Error("the schema refuses nothing")
	}
}

// schemaCases are wrong files of which the schema alone can tell.
func schemaCases() []string {
	return []string{
		"unknown_key", "unknown_key_elsewhere", "unknown_keys_of_no_kin", "not_built_keys", "missing_keys", "empty_lists",
		"no_stacks_no_gates", "wrong_types", "wrong_numbers", "fraction", "role", "token_literal", "aws_region", "aws_role",
		"stack_name_bad", "stack_project_url", "after_twice", "merge_request_condition", "merge_request_without_conditions",
		"hold_without_job", "hold_opens", "hold_unknown", "hold_not_built", "hold_without_kind", "hold_foreign_key",
		"gate_kind_unknown", "gate_kind_missing", "gate_foreign_key", "gate_skip", "gate_durations", "approval_deadline_word",
		"approval_deadline_of_production", "secret_from_both", "secret_from_nowhere", "secret_key_misspelt", "path_expect",
		"path_expect_list", "path_tries", "gate_guard_types", "gate_guard_addresses", "gate_guard_allow", "gate_grants", "gate_launch_method", "gate_launch_outside", "states_wrong", "states_form", "gate_outage_no_path", "gate_outage_path_list", "gate_outage_connections", "gate_outage_page", "gate_settled_key", "paths_empty", "webhook_missing", "workspace", "environment_name",
	}
}

// validator knows the keywords of JSON Schema that ours uses, and no other.
type validator struct{ root map[string]any }

func (v *validator) file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(plain, &value); err != nil {
		t.Fatal(err)
	}
	return v.check(v.root, value, "")
}

// check returns what is wrong first, or "".
func (v *validator) check(schema map[string]any, value any, at string) string {
	if ref, ok := schema["$ref"].(string); ok {
		defs, _ := v.root["$defs"].(map[string]any)
		schema, _ = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if schema == nil {
			return at + ": dangling " + ref
		}
	}
	if wrong := checkScalar(schema, value); wrong != "" {
		return at + ": " + wrong
	}
	for _, keyword := range []string{"oneOf", "anyOf"} {
		forms, ok := schema[keyword].([]any)
		if !ok {
			continue
		}
		fit, wrong := 0, ""
		for _, form := range forms {
			one, _ := form.(map[string]any)
			if why := v.check(one, value, at); why != "" {
				wrong = why
			} else {
				fit++
			}
		}
		if fit == 0 || keyword == "oneOf" && fit > 1 {
			return fmt.Sprintf("%s: fits %d of %s: %s", at, fit, keyword, wrong)
		}
	}
	switch value := value.(type) {
	case []any:
		return v.checkList(schema, value, at)
	case map[string]any:
		return v.checkObject(schema, value, at)
	}
	return ""
}

func (v *validator) checkList(schema map[string]any, value []any, at string) string {
	if least, ok := schema["minItems"].(float64); ok && len(value) < int(least) {
		return at + ": too few items"
	}
	items, _ := schema["items"].(map[string]any)
	for i, item := range value {
		if schema["uniqueItems"] == true && slices.Contains(value[:i], item) {
			return fmt.Sprintf("%s: %v comes twice", at, item)
		}
		if wrong := v.check(items, item, fmt.Sprintf("%s[%d]", at, i)); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (v *validator) checkObject(schema, value map[string]any, at string) string {
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, ok := value[fmt.Sprint(key)]; !ok {
			return fmt.Sprintf("%s: no %v", at, key)
		}
	}
	known, _ := schema["properties"].(map[string]any)
	names, _ := schema["propertyNames"].(map[string]any)
	for key, item := range value {
		form, ok := known[key].(map[string]any)
		if !ok {
			form, ok = schema["additionalProperties"].(map[string]any)
		}
		if !ok && schema["additionalProperties"] == false {
			return at + ": unknown " + key
		}
		if wrong := v.check(names, key, at+"."+key); wrong != "" {
			return wrong
		}
		if wrong := v.check(form, item, at+"."+key); wrong != "" {
			return wrong
		}
	}
	return ""
}

func checkScalar(schema map[string]any, value any) string {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	_, isFlag := value.(bool)
	_, isList := value.([]any)
	_, isObject := value.(map[string]any)
	is := map[string]bool{
		"string": isText, "integer": isNumber && number == float64(int64(number)), "boolean": isFlag, "array": isList,
		"object": isObject, "null": value == nil,
	}
	types, _ := schema["type"].([]any)
	if one, ok := schema["type"].(string); ok {
		types = []any{one}
	}
	if len(types) > 0 && !slices.ContainsFunc(types, func(one any) bool { return is[fmt.Sprint(one)] }) {
		return fmt.Sprintf("%T is not %v", value, schema["type"])
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Sprintf("%v is none of %v", value, enum)
	}
	if only, ok := schema["const"]; ok && only != value {
		return fmt.Sprintf("%v is not %v", value, only)
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
		return fmt.Sprintf("%q does not match %s", text, pattern)
	}
	if least, ok := schema["minLength"].(float64); ok && len(text) < int(least) {
		return "too short"
	}
	if least, ok := schema["minimum"].(float64); ok && number < least {
		return "too small"
	}
	if most, ok := schema["maximum"].(float64); ok && number > most {
		return "too large"
	}
	return ""
}
