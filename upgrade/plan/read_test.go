package plan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func recorded(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// What the plans of the real AWS provider come down to.
func TestSummarizeRecordedPlans(t *testing.T) {
	for _, tt := range []struct {
		file string
		want []string
	}{
		{"00-no-changes", nil},
		{"01-grant-removed", []string{"delete aws_kms_grant.asg"}},
		{"02-grant-renamed-without-moved", []string{"delete aws_kms_grant.asg", "create aws_kms_grant.asg_role"}},
		{"03-grant-renamed-with-moved", nil},
		{"04-grant-forgotten", []string{"forget aws_kms_grant.asg"}},
		{"05-grant-operations-changed-replace", []string{"replace aws_kms_grant.asg"}},
		{"06-security-group-replaced", []string{
			"update aws_autoscaling_group.asg", "update aws_launch_template.lt", "replace aws_security_group.sg",
			"replace aws_security_group_rule.out", "replace aws_vpc_security_group_ingress_rule.in",
		}},
		{"07-ingress-rule-changed", []string{"update aws_vpc_security_group_ingress_rule.in"}},
		{"08-template-and-group-updated", []string{"update aws_autoscaling_group.asg", "update aws_launch_template.lt"}},
		{"09-security-group-create-before-destroy", []string{
			"update aws_autoscaling_group.asg", "update aws_launch_template.lt", "replace aws_security_group.sg, create first",
			"replace aws_security_group_rule.out", "replace aws_vpc_security_group_ingress_rule.in",
		}},
		{"10-destroy-all", []string{
			"delete aws_autoscaling_group.asg", "delete aws_kms_grant.asg", "delete aws_kms_key.k", "delete aws_launch_template.lt",
			"delete aws_security_group.sg", "delete aws_security_group_rule.out", "delete aws_vpc_security_group_ingress_rule.in",
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			got, err := plan.Summarize(bytes.NewReader(recorded(t, tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, c := range got.Changes {
				line := string(c.Action) + " " + c.Address
				if c.CreateFirst {
					line += ", create first"
				}
				lines = append(lines, line)
				if c.Mode != "managed" || c.Provider == "" || !json.Valid(c.Before) || !json.Valid(c.After) {
					t.Errorf("incomplete change %+v", c)
				}
			}
			if diff := cmp.Diff(lines, tt.want); diff != "" {
				t.Errorf("changes (-got +want):\n%s", diff)
			}
			want := plan.Header{FormatVersion: "1.2", Tool: "1.11.4"}
			if got.Header != want || len(got.Digest) != 64 {
				t.Errorf("got header %+v, digest %q", got.Header, got.Digest)
			}
		})
	}
}

func TestDigestTellsRecordedPlansApart(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 11 {
		t.Fatalf("got %d plans, %v", len(files), err)
	}
	seen := map[string]string{}
	for _, file := range files {
		raw := recorded(t, strings.TrimSuffix(filepath.Base(file), ".json"))
		s, err := plan.Summarize(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[s.Digest]; ok {
			t.Errorf("%s and %s have one digest", file, other)
		}
		seen[s.Digest] = file
		// A plan made later by another version: the same change.
		later := bytes.Replace(raw, []byte(`"terraform_version":"1.11.4"`), []byte(`"terraform_version":"1.12.0"`), 1)
		later = bytes.Replace(later, []byte(`"timestamp":"2`), []byte(`"timestamp":"3`), 1)
		again, err := plan.Summarize(bytes.NewReader(later))
		if err != nil || again.Digest != s.Digest || bytes.Equal(raw, later) {
			t.Errorf("%s: digest of a later plan is %s, want %s (%v)", file, again.Digest, s.Digest, err)
		}
	}
}

const base = `{"format_version":"1.2","resource_changes":[{"address":"a.b","mode":"managed","type":"a","name":"b",
	"change":{"actions":["update"],"before":{"x":1},"after":{"x":2},"after_unknown":{}}}],
	"output_changes":{"o":{"actions":["update"],"before":"1","after":"2"},"same":{"actions":["no-op"],"before":1,"after":1}}}`

func TestDigestSeesEveryPart(t *testing.T) {
	first := summarize(t, base)
	for name, edit := range map[string][2]string{
		"address":       {`"a.b"`, `"a.c"`},
		"deposed":       {`"name":"b"`, `"name":"b","deposed":"1234"`},
		"action":        {`["update"],"before":{`, `["delete","create"],"before":{`},
		"before":        {`{"x":1}`, `{"x":0}`},
		"after":         {`{"x":2}`, `{"x":3}`},
		"number_text":   {`{"x":2}`, `{"x":20000000000000000001}`},
		"after_unknown": {`"after_unknown":{}`, `"after_unknown":{"x":true}`},
		"replace_paths": {`"after_unknown":{}`, `"after_unknown":{},"replace_paths":[["x"]]`},
		"moved":         {`"name":"b"`, `"name":"b","previous_address":"a.old"`},
		"import":        {`"after_unknown":{}`, `"after_unknown":{},"importing":{"id":"i"}`},
		"output":        {`"after":"2"`, `"after":"3"`},
		"output_name":   {`"o":`, `"p":`},
		"invocation":    {`"output_changes"`, `"action_invocations":[{"address":"action.x.y"}],"output_changes"`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(base, edit[0], edit[1], 1)
			if changed == base {
				t.Fatal("the edit does not fit")
			}
			if got := summarize(t, changed).Digest; got == first.Digest {
				t.Error("the digest is the same")
			}
		})
	}
	if len(first.Outputs) != 1 || first.Outputs[0].Name != "o" {
		t.Errorf("got outputs %+v, want o alone", first.Outputs)
	}
	order := strings.Replace(base, `"x":2`, `"x":2,"a":3`, 1)
	other := strings.Replace(base, `"x":2`, `"a": 3, "x": 2`, 1)
	if summarize(t, order).Digest != summarize(t, other).Digest {
		t.Error("the digest depends on the order of keys")
	}
}

func summarize(t *testing.T, text string) plan.Summary {
	t.Helper()
	s, err := plan.Summarize(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStreamActions(t *testing.T) {
	for _, tt := range []struct {
		name, actions string
		want          plan.Action
		createFirst   bool
	}{
		{"no-op", `["no-op"]`, plan.NoOp, false},
		{"read", `["read"]`, plan.Read, false},
		{"replace", `["delete","create"]`, plan.Replace, false},
		{"create_before_destroy", `["create","delete"]`, plan.Replace, true},
		{"create_then_forget", `["create","forget"]`, plan.Replace, true},
		{"forget", `["forget"]`, plan.Forget, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []plan.Change
			_, _, err := plan.Stream(strings.NewReader(strings.Replace(base, `["update"]`, tt.actions, 1)),
				func(c plan.Change) error { got = append(got, c); return nil })
			if err != nil || len(got) != 1 || got[0].Action != tt.want || got[0].CreateFirst != tt.createFirst {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestStreamRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", ``, "the plan's JSON ends early"},
		{"truncated", base[:len(base)-20], "the plan's JSON ends early"},
		{"text", `No changes.`, "this is not the JSON of a plan"},
		{"list", `[]`, "this is not the JSON of a plan"},
		{"state", `{"format_version":"1.0","values":{"root_module":{}}}`, "so it is not a plan"},
		{"no_version", `{"resource_changes":[]}`, "it has no format_version"},
		{"future", `{"format_version":"2.0","resource_changes":[]}`, `format version "2.0", and only 0.x and 1.x are understood`},
		{"action", strings.Replace(base, `["update"]`, `["explode"]`, 1), `a.b: the action "explode" is not known here`},
		{"no_actions", strings.Replace(base, `["update"]`, `[]`, 1), "a change has no actions"},
		{"no_address", strings.Replace(base, `"a.b"`, `""`, 1), "has no address"},
		{"changes_twice", strings.Replace(base, `"format_version":"1.2",`, `"format_version":"1.2","resource_changes":[],`, 1), "twice"},
		{"change_is_text", strings.Replace(base, `{"actions":["update"],"before":{"x":1},"after":{"x":2},"after_unknown":{}}`, `"no"`, 1), "has no change"},
		{"changes_are_text", `{"format_version":"1.2","resource_changes":"none"}`, "was expected in the plan"},
		{"wrong_bracket", `{"format_version":"1.2","planned_values":{"a":[1}}}`, `'}' closes '[' in the plan`},
		{"no_value", `{"format_version":"1.2","planned_values":,"a":1}`, "a value was expected"},
		{"wrong_null", `{"format_version":"1.2","resource_changes":nil}`, "this is not the JSON of a plan"},
		{"two_plans", base + base, "something follows the plan"},
		{"deep", `{"format_version":"1.2","prior_state":` + strings.Repeat("[", 20_000), "nests deeper"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plan.Summarize(strings.NewReader(tt.text))
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want CodeInvalid with %q", err, tt.want)
			}
		})
	}
}

// A plan may be read in pieces of any size.
func TestStreamInPieces(t *testing.T) {
	want := summarize(t, string(recorded(t, "06-security-group-replaced")))
	got, err := plan.Summarize(iotest.OneByteReader(bytes.NewReader(recorded(t, "06-security-group-replaced"))))
	if diff := cmp.Diff(got, want); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestStreamPassesErrorsOn(t *testing.T) {
	stop := errors.New("stop")
	_, _, err := plan.Stream(strings.NewReader(base), func(plan.Change) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the callback's error", err)
	}
	_, err = plan.Summarize(io.MultiReader(strings.NewReader(base[:50]), iotest.ErrReader(stop)))
	if !errors.Is(err, stop) || upgrade.CodeOf(err) != upgrade.CodeInternal {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func TestSensitiveValuesAreHidden(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, tt := range []struct{ name, after, marks, want string }{
		{"whole", `{"p":"hunter2hunter2"}`, `true`, `"(sensitive)"`},
		{"attribute", `{"p":"hunter2hunter2","q":1}`, `{"p":true}`, `{"p":"(sensitive)","q":1}`},
		{"nested", `{"l":[{"p":"hunter2hunter2"},{"p":2}]}`, `{"l":[{"p":true},{}]}`, `{"l":[{"p":"(sensitive)"},{"p":2}]}`},
		{"other_shape", `{"l":"hunter2hunter2"}`, `{"l":[{"p":true}]}`, `{"l":"(sensitive)"}`},
		{"more_marks_than_values", `{"l":["hunter2hunter2"]}`, `{"l":[false,true]}`, `{"l":"(sensitive)"}`},
		{"null", `{"p":null}`, `{"p":true}`, `{"p":null}`},
		{"none", `{"p":1.50}`, `{"p":false}`, `{"p":1.50}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(base, `"after":{"x":2}`, `"after":`+tt.after+`,"after_sensitive":`+tt.marks, 1)
			s := summarize(t, text)
			if got := string(s.Changes[0].After); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if strings.Contains(string(s.Changes[0].Before)+string(s.Changes[0].After), secret) {
				t.Error("the secret is shown")
			}
			other := summarize(t, strings.Replace(text, secret, "another-secret", 1))
			if strings.Contains(text, secret) && other.Digest == s.Digest {
				t.Error("the digest does not see the sensitive value")
			}
		})
	}
	out := summarize(t, strings.Replace(base, `"after":"2"`, `"after":"hunter2hunter2","after_sensitive":true`, 1)).Outputs
	if string(out[0].After) != `"(sensitive)"` || string(out[0].Before) != `"1"` {
		t.Errorf("got output %s → %s", out[0].Before, out[0].After)
	}
}

// The digest must be one for one change, however its JSON is written down.
func FuzzDigest(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(`{"format_version":"0.1","output_changes":null,"resource_changes":[]}`))
	f.Add([]byte(` {"format_version" : "1.2", "prior_state":{"a":[1,"]}\\"",{}],"b":null}, "planned_values":0 }`))
	f.Add(recorded(f, "06-security-group-replaced"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err := plan.Summarize(bytes.NewReader(raw))
		if err != nil {
			if upgrade.CodeOf(err) != upgrade.CodeInvalid {
				t.Fatalf("got %v, want CodeInvalid", err)
			}
			return
		}
		var whole map[string]any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&whole); err != nil {
			return // skipped parts are checked less strictly
		}
		if changes, ok := whole["resource_changes"].([]any); ok {
			slices.Reverse(changes)
		}
		other, err := json.MarshalIndent(whole, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		second, err := plan.Summarize(bytes.NewReader(other))
		if err != nil || second.Digest != first.Digest || len(second.Changes) != len(first.Changes) {
			t.Fatalf("got %s and %d changes, then %s and %d (%v)", first.Digest, len(first.Changes), second.Digest, len(second.Changes), err)
		}
	})
}

// big streams a plan with a prior state of about size bytes and a resource of 2 KB per megabyte.
func big(size int) io.Reader {
	value := strings.Repeat(`{"address":"aws_instance.x","values":{"id":"i-0123456789","tags":{"a":"b"},"n":[1,2,3]}},`, 1000)
	change := `{"address":"aws_instance.x[%d]","mode":"managed","type":"aws_instance","name":"x","change":{"actions":["no-op"],` +
		`"before":{"a":"` + strings.Repeat("x", 1000) + `"},"after":{"a":"` + strings.Repeat("x", 1000) + `"},"after_unknown":{}}},`
	readers := []io.Reader{strings.NewReader(`{"format_version":"1.2","planned_values":{"r":[`)}
	for range size / len(value) {
		readers = append(readers, strings.NewReader(value))
	}
	readers = append(readers, strings.NewReader(`0]},"resource_changes":[`))
	for i := range size >> 20 {
		readers = append(readers, strings.NewReader(fmt.Sprintf(change, i)))
	}
	last := strings.Replace(strings.TrimSuffix(fmt.Sprintf(change, 0), ","), "no-op", "update", 1)
	return io.MultiReader(append(readers, strings.NewReader(last+`]}`))...)
}

// peak returns the most heap in use while f runs, over what is in use before.
func peak(f func()) uint64 {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done, highest := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			select {
			case <-done:
				highest <- most
				return
			default:
				runtime.ReadMemStats(&now)
				if now.HeapInuse > before.HeapInuse {
					most = max(most, now.HeapInuse-before.HeapInuse)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	}()
	f()
	close(done)
	return <-highest
}

func TestMemoryIsBounded(t *testing.T) {
	const size = 24 << 20
	most := peak(func() {
		s, err := plan.Summarize(big(size))
		if err != nil || len(s.Changes) != 1 {
			t.Errorf("got %d changes, %v", len(s.Changes), err)
		}
	})
	if most > 16<<20 {
		t.Errorf("reading a plan of %d MiB took %d MiB", size>>20, most>>20)
	}
}

func BenchmarkSummarize300MB(b *testing.B) {
	const size = 300 << 20
	b.SetBytes(size)
	for b.Loop() {
		most := peak(func() {
			if _, err := plan.Summarize(big(size)); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(most>>20), "peak-MiB")
	}
}

// What is not as the state had it is told, and is no part of the change.
func TestDriftIsNoChange(t *testing.T) {
	const rest = `"format_version":"1.2","resource_changes":[]}`
	drift := `{"resource_drift":[{"address":"aws_lb.a","mode":"managed","change":{"actions":["update"]}},{"address":"data.x.y","mode":"data"}],` + rest
	got, err := plan.Summarize(strings.NewReader(drift))
	without, errWithout := plan.Summarize(strings.NewReader(`{` + rest))
	if err != nil || errWithout != nil {
		t.Fatal(err, errWithout)
	}
	if diff := cmp.Diff([]string{"aws_lb.a"}, got.Drifted); diff != "" || got.Digest != without.Digest || !got.Empty() {
		t.Errorf("digest %s, without %s, empty %t:\n%s", got.Digest, without.Digest, got.Empty(), diff)
	}
	if _, err := plan.Summarize(strings.NewReader(`{"resource_drift":[7],` + rest)); upgrade.CodeOf(err) != upgrade.CodeInvalid {
		t.Errorf("a drift that is none: %v, want invalid", err)
	}
}
