package upgrade_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/upgradegate/upgradegate"

// mayImport lists, for each area, the other areas of this module that its non-test files may import.
// An area is a top-level folder, except that each folder of integration and internal is one of its
// own, and so is each simulator, the provider, the lab and the stand-in. Folders of upgrade belong
// to it. docs/architecture is this table.
func mayImport() map[string][]string {
	return map[string][]string{
		"upgrade":                      {},
		"gates":                        {"upgrade"},
		"webhooks":                     {"upgrade"},
		"server":                       {"upgrade"},
		"engine":                       {"upgrade"},
		"lifecycle":                    {"upgrade", "gates", "engine"},
		"states":                       {"upgrade"},
		"store":                        {"upgrade", "internal/filelock"},
		"store/storetest":              {"upgrade", "store"},
		"config":                       {"upgrade", "gates"},
		"client":                       {"upgrade"},
		"agent":                        {"upgrade", "agent/wire", "integration/varnish", "internal/filelock"},
		"agent/wire":                   {"upgrade"},
		"vantages":                     {"upgrade", "agent/wire"},
		"integration":                  {},
		"integration/gitlab":           {"upgrade"},
		"integration/gitlab/gitlabsim": {"upgrade"},
		"integration/git":              {"upgrade"},
		"integration/oidc":             {"upgrade"},
		"integration/terraform":        {"upgrade"},
		"integration/aws":              {"upgrade"},
		"integration/aws/awssim":       {"upgrade"},
		"integration/aws/awsprovider":  {"upgrade"},
		"integration/varnish":          {"upgrade"},
		"integration/varnish/lab":      {"upgrade", "integration/varnish", "integration/varnish/standin"},
		"integration/varnish/standin":  {"upgrade"},
		"internal/filelock":            {"upgrade"},
		"internal/testkit":             {"upgrade"},
		"internal/world":               {},
		"cmd": {
			"upgrade", "gates", "webhooks", "server", "engine", "lifecycle", "states", "store", "config", "client", "agent", "agent/wire", "vantages",
			"integration/gitlab", "integration/gitlab/gitlabsim", "integration/git", "integration/oidc", "integration/terraform",
			"integration/aws", "integration/aws/awssim", "integration/aws/awsprovider",
			"integration/varnish", "integration/varnish/lab", "integration/varnish/standin", "internal/world",
		},
	}
}

// onlyIn lists outside modules that only the given areas may import.
func onlyIn() map[string][]string {
	return map[string][]string{
		"github.com/gin-gonic/":                 {"server", "webhooks"},
		"modernc.org/sqlite":                    {"store"},
		"github.com/jackc/pgx":                  {"store"},
		"github.com/aws/":                       {"integration/aws", "integration/aws/awsprovider"},
		"github.com/xanzy/go-gitlab":            {"integration/gitlab"},
		"github.com/coreos/go-oidc":             {"integration/gitlab", "integration/oidc"},
		"github.com/hashicorp/terraform-exec":   {"integration/terraform"},
		"github.com/hashicorp/terraform-plugin": {"integration/aws/awsprovider"},
		"github.com/goccy/go-yaml":              {"config"},
		"github.com/spf13/cobra":                {"cmd"},
	}
}

// onlyForTests lists areas that shipped code may not import; cmd may, for the demo and `sim`.
func onlyForTests(area string) bool {
	return strings.HasSuffix(area, "sim") || strings.HasSuffix(area, "test") || strings.HasSuffix(area, "awsprovider") ||
		area == "internal/testkit" || strings.HasPrefix(area, "integration/varnish/")
}

func TestArchitecture(t *testing.T) {
	commented, areas := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".." && (d.Name() == "testdata" || d.Name() == "tools" || d.Name() == "bin" || d.Name() == "node_modules" || d.Name()[0] == '.'):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		// Read here, not in a child process: the test cache follows what this process opens.
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(strings.TrimPrefix(filepath.ToSlash(name), "../"))
		commented[dir] = commented[dir] || strings.HasPrefix(file.Doc.Text(), "Package ") || file.Name.Name == "main" && file.Doc != nil
		areas[areaOf(dir)] = true
		checkImports(t, name, areaOf(dir), file.Imports)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(areas) < 10 {
		t.Errorf("only %d areas were seen: is the walk still at the module's root?", len(areas))
	}
	for dir, ok := range commented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func checkImports(t *testing.T, name, from string, imports []*ast.ImportSpec) {
	t.Helper()
	allowed, known := mayImport()[from]
	if !known {
		t.Errorf("%s: area %q is not in the table", name, from)
	}
	for _, spec := range imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(imp, "/")
		rest, ours := strings.CutPrefix(imp, module+"/")
		switch to := areaOf(rest); {
		case ours && to != from && !slices.Contains(allowed, to):
			t.Errorf("%s: %q may not import %q", name, from, to)
		case ours && to != from && onlyForTests(to) && from != "cmd" && !onlyForTests(from):
			t.Errorf("%s: only tests and cmd may import %s", name, imp)
		case !ours && from == "upgrade" && strings.Contains(first, "."):
			t.Errorf("%s: package upgrade may not import %s", name, imp)
		}
		for prefix, areas := range onlyIn() {
			if strings.HasPrefix(imp, prefix) && !slices.Contains(areas, from) {
				t.Errorf("%s: only %v may import %s", name, areas, prefix)
			}
		}
	}
}

// areaOf returns the area of a folder given relative to the module's root.
func areaOf(dir string) string {
	best := ""
	for area := range mayImport() {
		if (dir == area || strings.HasPrefix(dir, area+"/")) && len(area) > len(best) {
			best = area
		}
	}
	if best == "" || best == "integration" && dir != "integration" {
		return dir
	}
	return best
}

func TestNoReplaceLines(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(strings.Split(string(mod), "\n"), func(line string) bool { return strings.HasPrefix(line, "replace") }) {
		t.Error("go.mod has a replace line: `go install` of the module would not honour it")
	}
}
