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
// ends as it should, and nothing is left of it.
func TestDemo(t *testing.T) {
	terraform := terraformBinary(t)
	dir, err := os.MkdirTemp("/tmp", "ugd") //nolint:usetesting // a short path: programs put sockets into it
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	got := cli(t, []string{"TMPDIR=" + dir, "UPGRADEGATE_TERRAFORM=" + terraform}, "demo", "--once", "--json")
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
