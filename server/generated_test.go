package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGeneratedClient has a client generated from openapi.json by a generator that is not ours, builds it and calls
// every operation with it. UPGRADEGATE_TEST_OAPI is the path of oapi-codegen: scripts/with-test-tools sets it.
func TestGeneratedClient(t *testing.T) {
	generator := os.Getenv("UPGRADEGATE_TEST_OAPI")
	if generator == "" {
		if strings.Contains(","+os.Getenv("UPGRADEGATE_TEST_NEED")+",", ",oapi,") {
			t.Fatal("UPGRADEGATE_TEST_NEED lists oapi but UPGRADEGATE_TEST_OAPI is empty")
		}
		t.Skip("no oapi: set UPGRADEGATE_TEST_OAPI to what tools/build oapi prints")
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"../tools/oapi/go.mod": "go.mod", "../tools/oapi/go.sum": "go.sum", "testdata/apiclient/main.go": "main.go"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "api"), 0o700); err != nil {
		t.Fatal(err)
	}
	document, err := filepath.Abs("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	run := func(stdin []byte, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Stdin, cmd.Env = dir, bytes.NewReader(stdin), append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", filepath.Base(name), args, err, out)
		}
		return string(out)
	}
	run(nil, generator, "-generate", "types,client", "-package", "api", "-o", filepath.Join("api", "api.go"), document)
	run(nil, "go", "build", "-o", "apiclient", ".")

	all := slices.DeleteFunc(calls(), func(c call) bool { return c.Body != "" && !json.Valid([]byte(c.Body)) }) // no client can say that
	for i := range all {
		if all[i].Token == "" {
			all[i].Token = managerToken
		}
	}
	input, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calledSite(t).Handler().ServeHTTP(w, r) //nolint:contextcheck // a world of its own for each call: one must not spoil the next
	}))
	defer srv.Close()
	t.Log(run(input, filepath.Join(dir, "apiclient"), srv.URL))
}
