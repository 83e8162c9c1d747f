package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/demo"
)

// TestDemo plays every story as `make demo` does. The whole of its output is one JSON object, each story
// ends as it should, and nothing is left of it. Where there is a browser, people watch and act in it.
func TestDemo(t *testing.T) {
	terraform := terraformBinary(t)
	dir, err := os.MkdirTemp("/tmp", "ugd") //nolint:usetesting // a short path: programs put sockets into it
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	got := watchDemo(t, "TMPDIR="+dir, "UPGRADEGATE_TERRAFORM="+terraform)
	if got.code != exitOK {
		t.Errorf("exit code %d:\n%s", got.code, got.err)
	}
	var object struct {
		Stories []map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(got.out), &object); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s", err, got.out)
	}
	var names []string
	for _, story := range object.Stories {
		var name, why string
		var ok bool
		var runs []map[string]json.RawMessage
		for key, into := range map[string]any{"name": &name, "ok": &ok, "why": &why, "runs": &runs, "took_ms": new(int64)} {
			if err := json.Unmarshal(story[key], into); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		names = append(names, name)
		if name == "incident" {
			checkPlays(t, story["plays"])
		}
		if !ok {
			t.Errorf("story %s: %s", name, why)
		}
		for _, run := range runs {
			for _, key := range []string{"run", "stack", "commit", "tree", "phase", "verdict", "headline", "next", "causes", "gates", "gitlab"} {
				if len(run[key]) == 0 {
					t.Errorf("story %s: a run has no %q", name, key)
				}
			}
		}
	}
	if !slices.Equal(names, demo.Names()) {
		t.Errorf("stories %v, want %v", names, demo.Names())
	}
	eventually(t, func() string {
		if pids := processesOf(t, dir); len(pids) > 0 {
			return "processes are left"
		}
		return ""
	})
	left, err := os.ReadDir(dir)
	check(t, err)
	if len(left) > 0 {
		t.Errorf("%s is left", left)
	}
	if spaces, err := filepath.Glob(fmt.Sprintf("/run/netns/vl-p%dx*", got.pid)); err != nil || len(spaces) > 0 {
		t.Errorf("network namespaces %v are left (%v)", spaces, err)
	}
}

// checkPlays demands that each of the four plays tells what happened, what to do, and what came of it on Monday.
func checkPlays(t *testing.T, raw json.RawMessage) {
	t.Helper()
	var plays []struct {
		Play   int
		Off    []string
		Run    int64
		Report []string
		Repair string
		Monday string
	}
	if err := json.Unmarshal(raw, &plays); err != nil || len(plays) != 4 {
		t.Fatalf("plays are %s (%v), want four", raw, err)
	}
	for i, play := range plays {
		last := i == len(plays)-1
		if play.Play != i+1 || play.Run == 0 || len(play.Report) < 2 || play.Report[0] == "" || play.Report[1] == "" || play.Monday == "" || (play.Repair == "") != last {
			t.Errorf("play %d is %+v", i+1, play)
		}
		if i > 0 && len(play.Off) <= len(plays[i-1].Off) {
			t.Errorf("play %d has %v switched off, want more than the one before", i+1, play.Off)
		}
	}
}
