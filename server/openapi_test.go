package server

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// TestOpenAPINamesEveryRoute: what is served is documented, and nothing else is.
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
