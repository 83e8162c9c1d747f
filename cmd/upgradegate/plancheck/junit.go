package plancheck

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The part of JUnit's XML that GitLab reads: https://docs.gitlab.com/ci/testing/unit_test_reports. It
// shows classname as the suite, name as the test, and the text of failure and error; their attributes and
// what a passed test says it leaves out. A pair of classname and name must be there once.
type (
	junitSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string     `xml:"classname,attr"`
		Name    string     `xml:"name,attr"`
		File    string     `xml:"file,attr,omitempty"`
		Time    string     `xml:"time,attr"` // seconds
		Failure *junitText `xml:"failure"`
		Error   *junitText `xml:"error"`
		Skipped *junitText `xml:"skipped"`
		Out     *junitText `xml:"system-out"`
	}
	junitText struct {
		Message string `xml:"message,attr,omitempty"`
		Text    string `xml:",cdata"`
	}
)

// JUnit writes the report as GitLab shows it in a merge request: one test for each gate. A gate that could
// not tell is an error, one that is not required and did not pass is skipped.
func (r Report) JUnit(w io.Writer) error {
	class := "upgradegate plan check"
	if r.Stack != "" {
		class += " of " + string(r.Stack)
	}
	suite := junitSuite{Name: class}
	var took float64
	for _, result := range r.Results {
		one := junitCase{Class: class, Name: string(result.Gate), Time: fmt.Sprintf("%.3f", result.Took.Seconds())}
		if r.Name != Stdin {
			one.File = r.Name
		}
		took += result.Took.Seconds()
		suite.Tests++
		said := &junitText{Message: plain(result.Message), Text: r.account(result)}
		switch outcome := result.Outcome; {
		case outcome == upgrade.OutcomePassed:
			one.Out = &junitText{Text: said.Text}
		case outcome == upgrade.OutcomeSkipped || !result.Required:
			one.Skipped = said
			suite.Skipped++
		case outcome == upgrade.OutcomeFailed:
			one.Failure = said
			suite.Failures++
		default:
			one.Error = said
			suite.Errors++
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Time = fmt.Sprintf("%.3f", took)
	all := junitSuites{Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Skipped: suite.Skipped, Suite: suite}
	out, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	if _, err := io.WriteString(w, xml.Header+string(out)+"\n"); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

// account is all that a terminal would show of a result.
func (r Report) account(result upgrade.Result) string {
	var b strings.Builder
	t := &text{w: &b}
	t.body(result)
	if result.Agreeable {
		t.line("\n  The change to agree to is %s.", r.Digest)
	}
	return strings.TrimSpace(b.String())
}
