package server

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func readDocument(t *testing.T) document {
	t.Helper()
	var doc document
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOpenAPIHoldsEveryAnswer calls every operation and holds what is answered to the document: a status that is
// listed, the media type, and for JSON the schema.
func TestOpenAPIHoldsEveryAnswer(t *testing.T) {
	doc := readDocument(t)
	compiler := jsonschema.NewCompiler()
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	compiler.AssertFormat()
	called := map[string]bool{}
	for _, c := range calls() {
		called[c.Op] = true
		t.Run(c.Op+"_"+strconv.Itoa(c.Status), func(t *testing.T) {
			s := calledSite(t)
			method, target := c.request(doc)
			if method == "" {
				t.Fatalf("there is no operation %s", c.Op)
			}
			token := c.Token
			if token == "" {
				token = managerToken
			}
			w := s.do(method, target, token, c.Body)
			if w.Code != c.Status {
				t.Fatalf("%s %s: %d %s, want %d", method, target, w.Code, w.Body, c.Status)
			}
			checkAnswer(t, compiler, doc, c, method, w.Header(), w.Body.Bytes())
		})
	}
	for _, id := range doc.operations() {
		if !called[id] {
			t.Errorf("%s is never called: add it to calls", id)
		}
	}
}

func checkAnswer(t *testing.T, compiler *jsonschema.Compiler, doc document, c call, method string, header http.Header, body []byte) {
	t.Helper()
	for path, methods := range doc.Paths {
		op := methods[strings.ToLower(method)]
		if op.ID != c.Op {
			continue
		}
		response, ok := op.Responses[strconv.Itoa(c.Status)]
		if !ok {
			t.Fatalf("%d is not documented", c.Status)
		}
		media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := response.Content[media]; !ok {
			t.Fatalf("%s is not documented", media)
		}
		if !strings.HasSuffix(media, "json") {
			return
		}
		at := "openapi.json#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + strings.ToLower(method) +
			"/responses/" + strconv.Itoa(c.Status) + "/content/" + strings.ReplaceAll(media, "/", "~1") + "/schema"
		schema, err := compiler.Compile(at)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(answer); err != nil {
			t.Errorf("%s\n%v", body, err)
		}
		return
	}
}
