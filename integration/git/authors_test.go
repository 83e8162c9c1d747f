package git_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

func TestAuthors(t *testing.T) {
	g := newGitlab(t)
	// Whoever may push may write a .mailmap: it must make nobody out of somebody.
	base := g.commit(g.work, "a", "1", ".mailmap", "Somebody Else <else@example.org> <ada@example.org>\n")
	g.command(g.work, "commit", "-q", "--allow-empty", "--author", "Cy Ünï <cy@example.org>", "-m",
		"change\n\nCo-authored-by: not a trailer\n\nCo-authored-by: Dee <dee@example.org>\nSigned-off-by: Nobody <n@example.org>\n"+
			"co-AUTHORED-by: Eve\n  Folded <eve@example.org>\nCo-authored-by: Ada <ada@example.org>\nCo-authored-by: just a name\nCo-authored-by:\n")
	middle := upgrade.Commit(g.command(g.work, "rev-parse", "HEAD"))
	head := g.commit(g.work, "a", "2")
	g.command(g.work, "push", "-q", "origin", "HEAD:refs/heads/master") // where a new mirror's HEAD points to, and git looks for .mailmap
	g.command(g.work, "checkout", "-q", "--orphan", "other")
	orphan := g.commit(g.work, "a", "3")
	g.ensure(head, orphan)
	ada, bob := forge.Author{Name: "Ada", Email: "ada@example.org"}, forge.Author{Name: "Bob", Email: "bob@example.org"}
	three := []forge.Author{
		ada, bob,
		{Name: "Cy Ünï", Email: "cy@example.org"},
		{Name: "Dee", Email: "dee@example.org"},
		{Name: "Eve Folded", Email: "eve@example.org"},
		{Name: "just a name"},
	}
	for _, tt := range []struct {
		name       string
		base, head upgrade.Commit
		want       []forge.Author
	}{
		{"many", base, head, three},
		{"one", middle, head, []forge.Author{ada, bob}},
		{"none", head, head, nil},
		{"backwards", head, base, nil},
		{"no_base", "", head, []forge.Author{ada, bob}},
		{"zero_base", upgrade.Commit(strings.Repeat("0", 40)), middle, three},
		{"no_common_commit", orphan, head, three},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := g.git.Authors(t.Context(), g.project, tt.base, tt.head)
			if diff := cmp.Diff(got, tt.want); diff != "" || err != nil {
				t.Errorf("%v (-got +want):\n%s", err, diff)
			}
		})
	}
}

func TestHasDir(t *testing.T) {
	g := newGitlab(t)
	g.commit(g.work, "main.tf", "x", "stacks/ecs/prod/main.tf", "x", "st*/x", "y", "a:b/c", "z")
	g.command(g.work, "update-index", "--add", "--cacheinfo", "160000,1234567890123456789012345678901234567890,stacks/sub")
	g.command(g.work, "commit", "-q", "-m", "submodule")
	g.command(g.work, "push", "-q", "origin", "HEAD")
	commit := upgrade.Commit(g.command(g.work, "rev-parse", "HEAD"))
	g.ensure(commit)
	for _, tt := range []struct {
		name, dir string
		want      bool
		err       string
	}{
		{"top", "", true, ""},
		{"dot", ".", true, ""},
		{"folder", "stacks", true, ""},
		{"deep", "stacks/ecs/prod", true, ""},
		{"slash", "stacks/ecs/", true, ""},
		{"not_clean", "./stacks//ecs/x/..", true, ""},
		{"colon", "a:b", true, ""},
		{"star", "st*", true, ""},
		{"pattern", "stac*", false, ""},
		{"prefix", "stacks/ec", false, ""},
		{"missing", "stacks/rds", false, ""},
		{"missing_parent", "x/stacks", false, ""},
		{"file", "main.tf", false, ""},
		{"below_file", "main.tf/x", false, ""},
		{"submodule", "stacks/sub", false, "is a submodule"},
		{"in_submodule", "stacks/sub/ecs", false, `"stacks/sub" is a submodule`},
		{"beside_submodule", "stacks/subs", false, ""},
		{"above", "../x", false, "leads out"},
		{"absolute", "/etc", false, "leads out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := g.git.HasDir(t.Context(), g.project, g.tree(commit), tt.dir)
			if tt.err != "" {
				wantCode(t, err, upgrade.CodeInvalid, tt.err)
				return
			}
			if got != tt.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}
