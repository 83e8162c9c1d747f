package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var updateOpenAPI = flag.Bool("update-openapi", false, "rewrite openapi.json")

// openAPIWords is what no type says: the operations, and of the schemas what fields mean and which values they have. It
// has the form of openapi.json, but that an answer may be its description alone: then it has no content, or is a problem.
const openAPIWords = "testdata/openapi_words.json"

// schemas are the shapes that are sent, by the names of their schemas.
func schemas() map[string]any {
	return map[string]any{
		"Run": wireRun{}, "Answer": wireAnswer{}, "Cause": wireCause{}, "Telling": wireTelling{}, "Tally": wireTally{},
		"Progress": wireProgress{}, "Plan": wirePlan{}, "Production": wireProduction{}, "Event": wireEvent{}, "Result": wireResult{},
		"Evidence": wireEvidence{}, "Mark": wireMark{}, "Watch": wireWatch{}, "Stream": wireStream{}, "Outage": wireOutage{}, "Delivery": wireDelivery{}, "Problem": problem{}, "Act": wireAct{}, "Asked": asked{},
		"Agreement": wireAgreement{}, "Override": wireOverride{}, "Stack": wireStack{}, "Base": wireBase{}, "Apply": wireApply{}, "Running": wireRunning{},
		"Agent": wireAgent{}, "AgentClock": wireClock{}, "AgentPage": page[wireAgent]{}, "Invite": wireInvite{}, "EnrolToken": wireToken{}, "Revoked": wireRevoked{},
		"Freeze": wireFreeze{}, "FreezePage": page[wireFreeze]{}, "Configuration": wireConfig{}, "ConfigMistake": wireMistake{}, "ConfigValue": wireConfigured{},
		"Me": wireMe{}, "Session": wireSession{}, "SessionPage": page[wireSession]{}, "Ended": wireEnded{}, "APIToken": wireAPIToken{}, "APITokenPage": page[wireAPIToken]{},
		"MadeToken": wireMadeToken{}, "MakeToken": wireMakeToken{}, "AuditEntry": wireAudit{}, "AuditPage": page[wireAudit]{}, "AuditCheck": wireAuditCheck{},
		"WholePlan": wireWholePlan{}, "Change": wireChange{}, "Move": wireMove{}, "Output": wireOutput{}, "Environment": wireEnvironment{}, "EnvironmentPage": page[wireEnvironment]{},
		"Hook": wireHook{}, "HookKey": wireKey{}, "HookPage": page[wireHook]{}, "NewHook": wireNewHook{}, "MadeHook": wireMadeHook{}, "HookAct": wireHookAct{}, "HookTest": wireHookTest{}, "HookRemoved": wireHookRemoved{}, "HookMessage": wireMessage{}, "HookMessagePage": page[wireMessage]{},
		"SetBase": wireSetBase{}, "State": wireState{}, "Invariant": wireInvariant{}, "InvariantPage": page[wireInvariant]{}, "Stretch": wireStretch{}, "Checking": wireChecking{}, "StatePage": page[wireState]{}, "Played": played{}, "StackPage": page[wireStack]{}, "Question": wireQuestion{}, "Verification": wireVerification{},
		"RunPage": page[wireRun]{}, "EventPage": page[wireEvent]{}, "ResultPage": page[wireResult]{}, "DeliveryPage": page[wireDelivery]{},
	}
}

// asked are the schemas of what is sent to the server: nothing is required in them but what the words say.
func askedSchemas() []string {
	return []string{"Act", "Question", "Invite", "MakeToken", "NewHook", "HookAct"}
}

// member is a field of an object in a document, whose order is kept.
type member struct {
	key   string
	value any
}

type object []member

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, part := range []any{m.key, m.value} {
			if j > 0 {
				b.WriteByte(':')
			}
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(part); err != nil {
				return nil, err
			}
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// with returns the object with what another says: members of both are merged, and null takes one away.
func (o object) with(words object) object {
	for _, w := range words {
		at := slices.IndexFunc(o, func(m member) bool { return m.key == w.key })
		inner, both := w.value.(object)
		switch {
		case w.value == nil && at >= 0:
			o = slices.Delete(o, at, at+1)
		case at < 0:
			o = append(o, w)
		case both:
			if old, ok := o[at].value.(object); ok {
				o[at].value = old.with(inner)
				continue
			}
			o[at] = w
		default:
			o[at] = w
		}
	}
	return o
}

// ordered reads a document and keeps its order.
func ordered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			name, _ := key.(string) // a key is
			o = append(o, member{name, value})
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// schemaOf is the schema of a type as encoding/json writes it. Types that have a schema of their own are referred to.
func schemaOf(t reflect.Type, named map[reflect.Type]string, whole bool) object {
	if name, ok := named[t]; ok && !whole {
		return object{{"$ref", "#/components/schemas/" + name}}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{} // anything
	}
	switch t.Kind() { //nolint:exhaustive // no others are sent
	case reflect.Pointer:
		return schemaOf(t.Elem(), named, false)
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Slice:
		return object{{"type", "array"}, {"items", schemaOf(t.Elem(), named, false)}}
	case reflect.Map:
		return object{{"type", "object"}, {"additionalProperties", schemaOf(t.Elem(), named, false)}}
	case reflect.Struct:
		properties, required := object{}, []any{}
		for f := range t.Fields() {
			name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			properties = append(properties, member{name, schemaOf(f.Type, named, false)})
			if option == "" {
				required = append(required, name)
			}
		}
		o := object{{"type", "object"}, {"properties", properties}}
		if len(required) > 0 {
			o = append(o, member{"required", required})
		}
		return o
	}
	return object{{"type", "integer"}}
}

// answers writes out the answers of which the words have the description alone.
func answers(paths object) {
	for _, path := range paths {
		operations, _ := path.value.(object)
		for _, operation := range operations {
			o, _ := operation.value.(object)
			responses, _ := o.get("responses").(object)
			for i, r := range responses {
				text, ok := r.value.(string)
				if !ok {
					continue
				}
				full := object{{"description", text}}
				if r.key >= "400" {
					full = append(full, member{"content", object{{"application/problem+json", object{{"schema", object{{"$ref", "#/components/schemas/Problem"}}}}}}})
				}
				responses[i].value = full
			}
		}
	}
}

// generatedOpenAPI is openapi.json, of the types that are sent and the words.
func generatedOpenAPI(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(openAPIWords)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ordered(json.NewDecoder(bytes.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	named := map[reflect.Type]string{}
	for name, shape := range schemas() {
		named[reflect.TypeOf(shape)] = name
	}
	types := object{}
	for _, name := range slices.Sorted(maps.Keys(schemas())) {
		o := schemaOf(reflect.TypeOf(schemas()[name]), named, true)
		if slices.Contains(askedSchemas(), name) {
			o = o.with(object{{"required", nil}})
		}
		types = append(types, member{name, o})
	}
	words, _ := read.(object)
	paths, _ := words.get("paths").(object)
	answers(paths)
	components, _ := words.get("components").(object)
	said, _ := components.get("schemas").(object)
	for _, m := range said {
		if _, ok := schemas()[m.key]; !ok {
			t.Errorf("%s has words for %s, which is not sent", openAPIWords, m.key)
		}
	}
	doc, err := json.Marshal(words.with(object{{"components", object{{"schemas", types.with(said)}}}}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// TestOpenAPIIsGenerated: the document says of each field what the program sends, and not what somebody remembers.
func TestOpenAPIIsGenerated(t *testing.T) {
	want := generatedOpenAPI(t)
	if *updateOpenAPI {
		if err := os.WriteFile("openapi.json", want, 0o600); err != nil {
			t.Fatal(err)
		}
		openAPI = want
	}
	if !bytes.Equal(openAPI, want) {
		t.Error("openapi.json is not what the types and testdata/openapi_words.json say (look at the difference after rewriting it with -update-openapi)")
	}
}
