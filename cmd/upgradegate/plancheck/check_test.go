package plancheck_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/plancheck"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	recorded = "../../../upgrade/plan/testdata"
	others   = "../../../gates/testdata/states"
)

// checked checks a plan of a file, at a time that stands still.
func checked(t *testing.T, file, states string, stack upgrade.StackName) plancheck.Report {
	t.Helper()
	var report plancheck.Report
	synctest.Test(t, func(t *testing.T) {
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close() }()
		o := plancheck.Options{Plan: in, Name: filepath.Base(file), Stack: stack, Clock: upgrade.SystemClock{}}
		if states != "" {
			if o.States, err = plancheck.ReadStates(states, stack, o.Clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if report, err = plancheck.Check(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	})
	return report
}

// TestReports pins what people and programs get for each way in which a check may end.
func TestReports(t *testing.T) {
	for _, tt := range []struct {
		name, file, states string
		stack              upgrade.StackName
		want               upgrade.Outcome
		hints              string
	}{
		{"empty", recorded + "/00-no-changes.json", "", "", upgrade.OutcomePassed, ""},
		{"updates", recorded + "/08-template-and-group-updated.json", "", "", upgrade.OutcomePassed, ""},
		{"guarded", recorded + "/01-grant-removed.json", "", "ecs-master", upgrade.OutcomeFailed, "there is nobody here to agree; the change to agree to is bf55b72e808644105b3dd9959c9d578aa3943de1f1429548023ac302370c1a47"},
		{"owned", recorded + "/01-grant-removed.json", others, "", upgrade.OutcomeFailed, ""},
		{"race", recorded + "/02-grant-renamed-without-moved.json", "", "", upgrade.OutcomeFailed, ""},
		{"handed_over", recorded + "/04-grant-forgotten.json", others, "", upgrade.OutcomePassed, ""},
		{"all", recorded + "/10-destroy-all.json", others, "", upgrade.OutcomeFailed, ""},
		{"own_state", recorded + "/06-security-group-replaced.json", others, "network", upgrade.OutcomeFailed, ""},
		{"terraform_0_14", "testdata/plans/terraform-0.14.json", others, "", upgrade.OutcomeFailed, ""},
		{"opentofu", "testdata/plans/opentofu-1.12-forget.json", others, "", upgrade.OutcomePassed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report := checked(t, tt.file, tt.states, tt.stack)
			if report.Outcome() != tt.want {
				t.Errorf("got %s, want %s", report.Outcome(), tt.want)
			}
			if hints := strings.Join(report.Hints, "; "); hints != tt.hints {
				t.Errorf("got hints %q, want %q", hints, tt.hints)
			}
			for ext, write := range map[string]func(io.Writer) error{
				"txt":  func(w io.Writer) error { return report.Text(w, false) },
				"json": report.JSON,
				"xml":  report.JUnit,
			} {
				var b bytes.Buffer
				if err := write(&b); err != nil {
					t.Fatal(err)
				}
				testkit.Golden(t, filepath.Join("testdata", "reports", tt.name+"."+ext), b.Bytes())
				if ext == "json" && !json.Valid(b.Bytes()) {
					t.Error("the JSON is none")
				}
			}
		})
	}
}

// TestJUnit holds the report against what GitLab reads of it: classname and name, once together; the text of
// failure, error and skipped; times in seconds.
func TestJUnit(t *testing.T) {
	report := checked(t, recorded+"/01-grant-removed.json", others, "ecs-master")
	report.Results = append(report.Results,
		upgrade.Result{Gate: "broken", Required: true, Outcome: upgrade.OutcomeUnknown, Message: "nobody knows ]]> <&\x1b[31m"},
		upgrade.Result{Gate: "shown", Outcome: upgrade.OutcomeFailed, Message: "not required"},
		upgrade.Result{Gate: "off", Required: true, Outcome: upgrade.OutcomeSkipped, Message: "until tomorrow"},
		upgrade.Result{Gate: "well", Required: true, Outcome: upgrade.OutcomePassed, Message: "all well"})
	var b bytes.Buffer
	if err := report.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Errors   int    `xml:"errors,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Cases    []struct {
				Class   string  `xml:"classname,attr"`
				Name    string  `xml:"name,attr"`
				File    string  `xml:"file,attr"`
				Time    float64 `xml:"time,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
				Skipped *string `xml:"skipped"`
				Out     string  `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, b.String())
	}
	suite := got.Suites[0]
	if suite.Tests != 6 || suite.Failures != 2 || suite.Errors != 1 || suite.Skipped != 2 || len(suite.Cases) != 6 {
		t.Errorf("got %+v", suite)
	}
	seen := map[string]bool{}
	for _, one := range suite.Cases {
		if seen[one.Class+one.Name] || one.Class != "upgradegate plan check of ecs-master" || one.File != "01-grant-removed.json" {
			t.Errorf("got %+v", one)
		}
		seen[one.Class+one.Name] = true
	}
	if text := suite.Cases[1].Failure; text == nil || !strings.Contains(*text, "which aws-accounts also owns as") || !strings.Contains(*text, "removed {\n") {
		t.Errorf("the failure says %v", text)
	}
	if text := suite.Cases[2].Error; text == nil || !strings.Contains(*text, "Nobody knows ]]> <&\ufffd[31m.") {
		t.Errorf("the error says %v", text)
	}
	if suite.Cases[3].Skipped == nil || suite.Cases[4].Skipped == nil || suite.Cases[5].Failure != nil || !strings.Contains(suite.Cases[5].Out, "All well.") {
		t.Errorf("got %+v", suite.Cases[3:])
	}
}

// TestOwnStateIsTold: a state that has the thing at the plan's own address is likely the plan's own.
func TestOwnStateIsTold(t *testing.T) {
	dir := t.TempDir()
	raw, err := os.ReadFile(filepath.Join(others, "aws-accounts.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.NewReplacer(`"module": "module.grants[\"eu-west-1\"]",`, "", `"autoscaling"`, `"asg"`).Replace(string(raw))
	if err := os.WriteFile(filepath.Join(dir, "ecs-master.tfstate"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	report := checked(t, recorded+"/01-grant-removed.json", dir, "")
	if want := "if ecs-master is this plan's own state, say so with --stack ecs-master"; report.Outcome() != upgrade.OutcomeFailed || strings.Join(report.Hints, "") != want {
		t.Errorf("got %s, hints %q", report.Outcome(), report.Hints)
	}
	report = checked(t, recorded+"/01-grant-removed.json", dir, "ecs-master")
	if owner := report.Results[1]; owner.Outcome != upgrade.OutcomePassed {
		t.Errorf("got %s %q", owner.Outcome, owner.Message)
	}
}

func TestRefusesPlans(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"version_2", `{"format_version":"2.0","planned_values":{}}`, `the plan has format version "2.0", and only 0.x and 1.x are understood`},
		{"a_state", `{"version":4,"resources":[]}`, "so it is not a plan"},
		{"not_json", "PK\x03\x04", "this is not the JSON of a plan"},
		{"cut", `{"format_version":"1.2","resource_changes":[`, "ends early"},
		{"empty", "", "ends early"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plancheck.Check(t.Context(), plancheck.Options{Plan: strings.NewReader(tt.text), Name: "p.json", Clock: upgrade.SystemClock{}})
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadStates(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(want string) {
		t.Helper()
		if _, err := plancheck.ReadStates(dir, "", upgrade.SystemClock{}.Now()); err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	write("notes.txt", "x")
	refused("has no state in it")
	write("new.tfstate", "")
	write("secret.json", `{"serial":1,"encrypted_data":"x"}`)
	s, err := plancheck.ReadStates(dir, "new", upgrade.SystemClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	readings, err := s.Readings(t.Context())
	if err != nil || len(readings) != 2 || readings[0].Stack != "new" || readings[0].ReadAt.IsZero() || !strings.Contains(readings[1].Problem, "encrypted by OpenTofu") || !readings[1].ReadAt.IsZero() {
		t.Errorf("got %+v, %v", readings, err)
	}
	report := checked(t, recorded+"/01-grant-removed.json", dir, "new")
	if last := report.Results[1]; last.Kind != gates.KindOwner || last.Outcome != upgrade.OutcomeUnknown || !strings.Contains(last.Message, "whether secret also owns aws_kms_grant.asg is not known: it was never read: the state is encrypted by OpenTofu") {
		t.Errorf("got %s %q", last.Outcome, last.Message)
	}
	write("secret.tfstate", "")
	refused("has two states of the name secret")
	dir = filepath.Join(dir, "none")
	refused("cannot be read")
}

func TestColour(t *testing.T) {
	report := checked(t, recorded+"/01-grant-removed.json", "", "")
	var b bytes.Buffer
	if err := report.Text(&b, true); err != nil || !strings.Contains(b.String(), "\x1b[1;31mFailed") || !strings.HasSuffix(b.String(), "\n") {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
