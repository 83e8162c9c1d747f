package terraform

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func TestStory(t *testing.T) {
	story := Story{Total: 2}
	for _, tt := range []struct {
		line string
		text string
		want plan.Tick
	}{
		{
			`{"@level":"info","@message":"Terraform 1.5.7","type":"version","terraform":"1.5.7","ui":"1.1"}`, "Terraform 1.5.7",
			plan.Tick{Kind: plan.TickLine, Text: "Terraform 1.5.7", Total: 2},
		},
		{
			`{"@message":"data.x.y: Refreshing...","type":"apply_start","hook":{"resource":{"addr":"data.x.y"},"action":"read"}}`, "data.x.y: Refreshing...",
			plan.Tick{Kind: plan.TickLine, Address: "data.x.y", Action: plan.Read, Text: "data.x.y: Refreshing...", Total: 2},
		},
		{
			`{"@message":"a.b: Destroying...","type":"apply_start","hook":{"resource":{"addr":"a.b"},"action":"delete"}}`, "a.b: Destroying...",
			plan.Tick{Kind: plan.TickStart, Address: "a.b", Action: plan.Delete, Text: "a.b: Destroying...", Total: 2},
		},
		{
			`{"@message":"a.b: gone","type":"apply_complete","hook":{"resource":{"addr":"a.b"},"action":"delete"}}`, "a.b: gone",
			plan.Tick{Kind: plan.TickDone, Address: "a.b", Action: plan.Delete, Text: "a.b: gone", Done: 1, Total: 2},
		},
		{ // the second half of a replacement is not another resource
			`{"@message":"a.b: made","type":"apply_complete","hook":{"resource":{"addr":"a.b"},"action":"create"}}`, "a.b: made",
			plan.Tick{Kind: plan.TickDone, Address: "a.b", Action: plan.Create, Text: "a.b: made", Done: 1, Total: 2},
		},
		{
			`{"@message":"c.d: failed","type":"apply_errored","hook":{"resource":{"addr":"c.d"},"action":"update"}}`, "c.d: failed",
			plan.Tick{Kind: plan.TickFailed, Address: "c.d", Action: plan.Update, Text: "c.d: failed", Done: 1, Total: 2},
		},
		{
			`{"@level":"warn","@message":"Warning: old","type":"diagnostic","diagnostic":{"severity":"warning","summary":"old","detail":""}}`, "Warning: old",
			plan.Tick{Kind: plan.TickLine, Text: "Warning: old", Done: 1, Total: 2},
		},
		{
			`{"@level":"error","@message":"Error: no","type":"diagnostic","diagnostic":{"severity":"error","summary":"no","detail":"one\ntwo","address":"c.d","range":{"filename":"main.tf","start":{"line":3}}}}`,
			"Error: no\n  on main.tf line 3\n  with c.d\n  one\n  two",
			plan.Tick{Kind: plan.TickLine, Address: "c.d", Text: "Error: no\n  on main.tf line 3\n  with c.d\n  one\n  two", Done: 1, Total: 2},
		},
		{"panic: runtime error\r\n", "panic: runtime error", plan.Tick{Kind: plan.TickLine, Text: "panic: runtime error", Done: 1, Total: 2}},
		{`{"not":"ours"}`, `{"not":"ours"}`, plan.Tick{Kind: plan.TickLine, Text: `{"not":"ours"}`, Done: 1, Total: 2}},
	} {
		text, tick := story.Line([]byte(tt.line))
		if diff := cmp.Diff(tick, tt.want); text != tt.text || diff != "" {
			t.Errorf("%s: got %q %s", tt.line, text, diff)
		}
	}
	if story.First == nil || story.First.Sentence() != "main.tf:3: no: one two" || story.Completed || !story.Begun || story.Tool != "terraform 1.5.7" {
		t.Errorf("got %+v", story)
	}
	var other Story
	other.Line([]byte(`{"@message":"data.x.y: Reading...","type":"apply_start","hook":{"resource":{"addr":"data.x.y"},"action":"read"}}`))
	other.Line([]byte(`{"@level":"info","@message":"OpenTofu 1.12.6-dev","type":"version","tofu":"1.12.6-dev","ui":"1.2"}`))
	if other.Begun || other.Tool != "tofu 1.12.6-dev" {
		t.Errorf("got %+v", other)
	}
}

func TestFromText(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"none", "Initializing the backend...\n", ""},
		{"box", "╷\n│ Error: Unsupported block type\n│ \n│   on main.tf line 12, in resource \"a\" \"b\":\n│   12: blok {\n│ \n│ Blocks of type \"blok\" are\n│ not expected here.\n╵\n", `main.tf:12: Unsupported block type: Blocks of type "blok" are not expected here.`},
		{"plain", "\nError: Failed to query\n\nCould not retrieve\nthe list.\n\nMore.\n", "Failed to query: Could not retrieve the list."},
		{"general_remark_first", "Error: problems during initialisation\n\nSome.\n\nError: Missing name\n\n  on x/y.tf line 4:\n   4: a\n\nNamed.\n", "x/y.tf:4: Missing name: Named."},
		{"only_summary", "Error: No.", "No."},
		{"place_alone", "Error: No.\n\n  on a.tf line 1:\n   1: x\n", "a.tf:1: No."},
		{"huge_line_number", "Error: No.\n\n  on a.tf line 99999999999999999999:\n", "No.: on a.tf line 99999999999999999999:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if d := fromText(tt.text); d != nil {
				got = d.Sentence()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzFromText(f *testing.F) {
	f.Add("╷\n│ Error: Unsupported block type\n│ \n│   on main.tf line 12:\n│ \n│ Blocks.\n╵\n")
	f.Add("Error: \n\nError: x\n\n on  line 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d := fromText(text)
		if d == nil {
			if strings.HasPrefix(text, "Error: ") {
				t.Errorf("no error found in %q", text)
			}
			return
		}
		sentence := d.Sentence()
		if strings.ContainsAny(sentence, "\n\r") || utf8.RuneCountInString(sentence) > longestMessage {
			t.Errorf("not one short line: %q", sentence)
		}
		if d.Range != nil && !strings.Contains(text, d.Range.Filename) {
			t.Errorf("%q is not in %q", d.Range.Filename, text)
		}
	})
}

// Whatever Terraform prints, progress only goes forward, and a line is never lost.
func FuzzStory(f *testing.F) {
	f.Add(`{"@message":"a.b: made","type":"apply_complete","hook":{"resource":{"addr":"a.b"},"action":"create"}}` + "\n" + `{"type":"diagnostic","diagnostic":{"severity":"error"}}`)
	f.Add("plain\n{\n{}\n[]\nnull\n" + `{"@message":1}` + "\n" + `{"@message":"m","diagnostic":{"range":null,"summary":"s"},"hook":null}`)
	f.Fuzz(func(t *testing.T, log string) {
		var story Story
		done := 0
		for line := range strings.Lines(log) {
			text, tick := story.Line([]byte(line))
			if tick.Done < done || tick.Done > done+1 {
				t.Errorf("%d resources done, then %d", done, tick.Done)
			}
			done = tick.Done
			if text == "" && !strings.HasPrefix(strings.TrimSpace(line), "{") && strings.Trim(line, "\r\n") != "" {
				t.Errorf("%q is lost", line)
			}
			if tick.Kind == "" {
				t.Errorf("%q has no kind", line)
			}
		}
	})
}
