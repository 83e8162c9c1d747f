package config_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// environ is the environment of the tests. Every value that is a secret holds the mark.
func environ() map[string]string {
	return map[string]string{
		"HUGO_TOKEN": "hugo-" + mark, "ANNA_TOKEN": "anna-" + mark, "PIPELINE_TOKEN": "pipeline-" + mark,
		"GITLAB_TOKEN": "glpat-" + mark, "HOOK_SECRET": "hook-" + mark, "EXTERNAL_ID": "external-" + mark,
		"ACCESS_KEY": "AKIA" + mark, "SECRET_KEY": "aws-" + mark, "DB_PASSWORD": "db-" + mark, "STATE_PASSWORD": "state-" + mark, "BYPASS": "bypass-" + mark,
		"SIGNING": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "SIGNING_PLAIN": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"OLD_SIGNING":   "whsec_YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=",
		"SIGNING_SHORT": "whsec_c2hvcnQ=", "SIGNING_WRONG": "whsec_" + mark + "!",
		"SHORT": "kUrZ-15-zeichen", "EMPTY": "", "BLANK": "   ", "SPACED": " spaced-" + mark, "LINES": "two\n" + mark, "NUL": "nul\x00" + mark,
	}
}

func files() map[string]string {
	return map[string]string{
		"/etc/upgradegate/hugo":    "hugo-from-file-" + mark + "\n",
		"/etc/upgradegate/signing": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\r\n",
		"/etc/upgradegate/empty":   "\n",
		"/etc/upgradegate/lines":   "one-" + mark + "\n\n",
		"/etc/upgradegate/huge":    strings.Repeat(mark, 10_000),
		"/etc/upgradegate/not-pem": mark,
	}
}

// mark stands in every secret of the tests; no message and no print may hold it.
const mark = "s3cr3t-0123456789"

func source() config.Source {
	env, file := environ(), files()
	return config.Source{
		Getenv: func(name string) (string, bool) {
			value, set := env[name]
			return value, set
		},
		ReadFile: func(path string) ([]byte, error) {
			if content, exists := file[path]; exists {
				return []byte(content), nil
			}
			if strings.HasPrefix(path, "testdata/") {
				return os.ReadFile(path)
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

// printed returns a configuration field by field, secrets hidden and the working folder replaced.
func printed(t *testing.T, cfg *config.Config) []byte {
	t.Helper()
	for i, gate := range cfg.Gates {
		if outage, ok := gate.Settings.(gates.OutageSettings); ok && outage.Path.Bypass.Value != "" {
			outage.Path.Bypass.Value = upgrade.Secret(outage.Path.Bypass.Value).String()
			cfg.Gates[i].Settings = outage
		}
		settings, ok := gate.Settings.(gates.VarnishSettings)
		if !ok {
			continue
		}
		for j, path := range settings.Paths {
			if path.Bypass.Value != "" {
				settings.Paths[j].Bypass.Value = upgrade.Secret(path.Bypass.Value).String()
			}
		}
		cfg.Gates[i].Settings = settings
	}
	var b strings.Builder
	dump(&b, reflect.ValueOf(*cfg), "")
	out := b.String()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, mark) {
		t.Errorf("a secret is printed:\n%s", out)
	}
	return []byte(strings.ReplaceAll(strings.TrimPrefix(out, "\n"), folder, "/working/folder"))
}

func TestRight(t *testing.T) {
	for _, name := range []string{"full", "minimal"} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Load(filepath.Join("testdata", name+".yaml"), source())
			if err != nil {
				t.Fatal(err)
			}
			testkit.Golden(t, filepath.Join("testdata", name+".golden"), printed(t, cfg))
		})
	}
}

func TestSecretsAreListed(t *testing.T) {
	cfg, err := config.Load("testdata/full.yaml", source())
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, secret := range cfg.Secrets {
		listed[secret.Reveal()] = true
	}
	env := environ()
	for _, name := range []string{"PIPELINE_TOKEN", "GITLAB_TOKEN", "HOOK_SECRET", "EXTERNAL_ID", "ACCESS_KEY", "SECRET_KEY", "DB_PASSWORD", "STATE_PASSWORD", "BYPASS"} {
		if !listed[env[name]] {
			t.Errorf("%s is not among the secrets", name)
		}
	}
	if !listed["hugo-from-file-"+mark] || listed[""] || listed["eu-west-2"] {
		t.Errorf("got %d secrets with a wrong one among them", len(listed))
	}
}

func TestSecretOfLines(t *testing.T) {
	data, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	src := source()
	src.Getenv = func(name string) (string, bool) {
		if name == "KEY" {
			return "-----BEGIN KEY-----\nabcdefghijkl\nxy\n-----END KEY-----\n", true
		}
		return source().Getenv(name)
	}
	text := strings.Replace(string(data), "staging: {workspace: staging}", "staging: {workspace: staging, env: {TF_VAR_key: {env: KEY}}}", 1)
	cfg, err := config.Parse("gate.yaml", []byte(text), src)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Stacks[0].Staging.Env["TF_VAR_key"].Reveal(); !strings.HasSuffix(got, "KEY-----\n") {
		t.Errorf("got %q, want it as it is", got)
	}
	var lines []string
	for _, secret := range cfg.Secrets {
		lines = append(lines, secret.Reveal())
	}
	if !slices.Contains(lines, "abcdefghijkl") || slices.Contains(lines, "xy") {
		t.Errorf("got secrets %q, want each longer line", lines)
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for name, content := range map[string]string{
		"gate.yaml":   "server: {tokens: [{name: hugo, role: boss, token: {file: token}}]}\n",
		"token":       "twenty-four-characters-x\n",
		"windows.yml": "\xef\xbb\xbfserver:\r\n  tokens: []\r\n  colour: x\r\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := config.Source{Getenv: os.LookupEnv, ReadFile: os.ReadFile}
	for _, tt := range []struct{ name, file, want string }{
		{"missing", "absent.yaml", "absent.yaml: cannot be read: no such file or directory"},
		{"a_folder", ".", ".: cannot be read: is a directory"},
		{"wrong", "gate.yaml", `gate.yaml:1: server.tokens[0].role: unknown role "boss" (there is viewer, developer, release_manager, admin)`},
		{"windows", "windows.yml", `windows.yml:3: server.colour: unknown key`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Load(tt.file, src)
			if err == nil {
				t.Fatal("no error")
			}
			if !slices.Contains(strings.Split(err.Error(), "\n"), tt.want) {
				t.Errorf("got\n%v\nwant a line\n%s", err, tt.want)
			}
			checkProblems(t, err)
			if strings.Contains(err.Error(), "server.tokens[0].token") {
				t.Errorf("the token in a file beside the working folder was not found:\n%v", err)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"large", strings.Repeat("# a comment\n", 100_000), "gate.yaml: the file is larger than 1 MiB"},
		{"many_words", strings.Repeat("a: b\n", 20_000), "gate.yaml: the file has more than 40000 words and signs (is it the right one?)"},
		{"long_line", "x: " + strings.Repeat("a", 3000), "gate.yaml:1: the line is longer than 2000 bytes (break it)"},
		{"brackets_over_lines", strings.Repeat("[\n", 1000), "gate.yaml:41: brackets are nested too deeply"},
		{"dashes", strings.Repeat("- ", 900) + "x", "gate.yaml:1: must be keys with values, not a list"},
		{"not_utf8", "server: \xff\xfe", "gate.yaml: the file is not UTF-8 (save it as UTF-8)"},
		{"question_marks", "? server\n: {}\n", "gate.yaml:1: keys that begin with ? are not read here (write the value out, in quotes if it is text)"},
		{"comment_alone", "# nothing\n", "gate.yaml:1: gates: must be set (tests that may say no)"},
		{"null", "null\n", "gate.yaml:1: gates: must be set (tests that may say no)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("gate.yaml", []byte(tt.data), config.Source{})
			if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), tt.want) {
				t.Errorf("got\n%v\nwant a line\n%s", err, tt.want)
			}
		})
	}
}

func TestEmptySource(t *testing.T) {
	_, err := config.Load("testdata/minimal.yaml", config.Source{ReadFile: os.ReadFile})
	if err == nil || !strings.Contains(err.Error(), "GITLAB_TOKEN is not set") {
		t.Errorf("got %v, want the variables missing", err)
	}
	if _, err := config.Load("testdata/minimal.yaml", config.Source{}); err == nil {
		t.Error("read a file without being able to read files")
	}
}
