package server

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// TestOpenAPINamesEveryRoute: the document is kept by hand, so this holds it to what is served.
func TestOpenAPINamesEveryRoute(t *testing.T) {
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("version %q: %v", doc.OpenAPI, err)
	}
	s := newSite(t, fullWorld())
	engine := gin.New()
	s.apiRoutes(engine.Group("/api/v1"))
	s.verifyRoutes(engine.Group("/api/v1"))
	documented := 0
	for _, methods := range doc.Paths {
		documented += len(methods)
	}
	param := regexp.MustCompile(`:(\w+)`)
	for _, r := range engine.Routes() {
		path := param.ReplaceAllString(r.Path, "{$1}")
		if _, ok := doc.Paths[path][strings.ToLower(r.Method)]; !ok {
			t.Errorf("%s %s is not in openapi.json", r.Method, path)
		}
	}
	if n := len(engine.Routes()); n != documented {
		t.Errorf("%d routes are served, %d documented", n, documented)
	}
}

// TestOpenAPINamesEveryField holds the schemas to the shapes that are sent.
func TestOpenAPINamesEveryField(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
				Required   []string                   `json:"required"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	for name, shape := range map[string]any{
		"Run": wireRun{}, "Answer": wireAnswer{}, "Cause": wireCause{}, "Telling": wireTelling{}, "Tally": wireTally{},
		"Progress": wireProgress{}, "Plan": wirePlan{}, "Production": wireProduction{}, "Event": wireEvent{}, "Result": wireResult{},
		"Evidence": wireEvidence{}, "Mark": wireMark{}, "Watch": wireWatch{}, "Stream": wireStream{}, "Outage": wireOutage{}, "Delivery": wireDelivery{}, "Problem": problem{}, "Act": wireAct{}, "Asked": asked{},
		"Agreement": wireAgreement{}, "Override": wireOverride{}, "Stack": wireStack{}, "Base": wireBase{}, "Apply": wireApply{}, "Running": wireRunning{},
		"Agent": wireAgent{}, "AgentClock": wireClock{}, "AgentPage": page[wireAgent]{}, "Invite": wireInvite{}, "EnrolToken": wireToken{}, "Revoked": wireRevoked{},
		"Freeze": wireFreeze{}, "FreezePage": page[wireFreeze]{}, "Configuration": wireConfig{}, "ConfigMistake": wireMistake{}, "ConfigValue": wireConfigured{},
		"Me": wireMe{}, "Session": wireSession{}, "SessionPage": page[wireSession]{}, "Ended": wireEnded{}, "APIToken": wireAPIToken{}, "APITokenPage": page[wireAPIToken]{},
		"MadeToken": wireMadeToken{}, "AuditEntry": wireAudit{}, "AuditPage": page[wireAudit]{}, "AuditCheck": wireAuditCheck{},
		"WholePlan": wireWholePlan{}, "Change": wireChange{}, "Move": wireMove{}, "Output": wireOutput{}, "Environment": wireEnvironment{}, "EnvironmentPage": page[wireEnvironment]{},
		"Hook": wireHook{}, "HookKey": wireKey{}, "HookPage": page[wireHook]{}, "NewHook": wireNewHook{}, "MadeHook": wireMadeHook{}, "HookAct": wireHookAct{}, "HookTest": wireHookTest{}, "HookRemoved": wireHookRemoved{}, "HookMessage": wireMessage{}, "HookMessagePage": page[wireMessage]{},
		"SetBase": wireSetBase{}, "State": wireState{}, "Invariant": wireInvariant{}, "InvariantPage": page[wireInvariant]{}, "Stretch": wireStretch{}, "Checking": wireChecking{}, "StatePage": page[wireState]{}, "Played": played{}, "StackPage": page[wireStack]{}, "Question": wireQuestion{}, "Verification": wireVerification{},
		"RunPage": page[wireRun]{}, "EventPage": page[wireEvent]{}, "ResultPage": page[wireResult]{}, "DeliveryPage": page[wireDelivery]{},
	} {
		schema, ok := doc.Components.Schemas[name]
		if !ok {
			t.Errorf("no schema %s", name)
			continue
		}
		required := map[string]bool{}
		for _, r := range schema.Required {
			required[r] = true
		}
		typ := reflect.TypeOf(shape)
		for f := range typ.Fields() {
			field, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			if _, ok := schema.Properties[field]; !ok {
				t.Errorf("%s.%s is sent but not documented", name, field)
			}
			if always := option == ""; name != "Act" && name != "Question" && name != "Invite" && name != "NewHook" && name != "HookAct" && always != required[field] {
				t.Errorf("%s.%s: always sent %v, documented as required %v", name, field, always, required[field])
			}
			delete(schema.Properties, field)
		}
		for field := range schema.Properties {
			t.Errorf("%s.%s is documented but not sent", name, field)
		}
	}
}
