package gitlabsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// gitTimeout bounds each git program that we start.
const gitTimeout = time.Minute

// preReceive refuses what GitLab refuses, in its words. What may not be pushed comes by environment,
// because only the server knows who pushes.
const preReceive = `#!/bin/sh
while read -r old new ref; do
	case " $GITLABSIM_DENIED " in
	*" $ref "*)
		echo "GitLab: You are not allowed to push code to protected branches on this project." >&2
		exit 1 ;;
	esac
	case "$ref" in
	refs/heads/*|refs/tags/*) ;;
	*)
		echo "GitLab: deny updating a hidden ref" >&2
		exit 1 ;;
	esac
	case " $GITLABSIM_FORWARD " in
	*" $ref "*)
		case "$new" in
		*[!0]*) ;;
		*)
			echo "GitLab: You can only delete protected branches using the web interface." >&2
			exit 1 ;;
		esac
		case "$old" in
		*[!0]*)
			git merge-base --is-ancestor "$old" "$new" || {
				echo "GitLab: You are not allowed to force push code to a protected branch on this project." >&2
				exit 1
			} ;;
		esac ;;
	esac
done
`

// commitInfo is what answers say of a commit.
type commitInfo struct {
	ID        upgrade.Commit
	Tree      upgrade.Tree
	Parents   []string
	Author    person
	Committer person
	Message   string
}

type person struct {
	Name, Email string
	At          time.Time
}

func (c commitInfo) title() string {
	title, _, _ := strings.Cut(c.Message, "\n")
	return title
}

// environment is what git sees: nothing of the machine's or the user's configuration.
func (s *Server) environment(extra ...string) []string {
	return append([]string{
		"PATH=" + filepath.Dir(s.git) + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + s.cfg.Dir, "LC_ALL=C", "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
	}, extra...)
}

// run runs git in a repository and returns what it wrote, without the last line break.
func (s *Server) run(ctx context.Context, dir string, env []string, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.git, args...) //nolint:gosec // the program is git, and no argument comes from a request unchecked
	cmd.Dir = dir
	cmd.Env = s.environment(env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(msg.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func (s *Server) initRepository(ctx context.Context, p *project) error {
	p.dir = filepath.Join(s.cfg.Dir, filepath.FromSlash(p.Path)+".git")
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("make the repository's folder: %w", err)
	}
	if _, err := s.run(ctx, p.dir, nil, "", "init", "-q", "--bare", "-b", p.DefaultBranch, "."); err != nil {
		return err
	}
	for _, kv := range [][2]string{
		{"http.receivepack", "true"},
		{"gc.auto", "0"},
		{"receive.autogc", "false"},
		{"uploadpack.allowFilter", "true"},
		{"uploadpack.allowAnySHA1InWant", "true"},
	} {
		if _, err := s.run(ctx, p.dir, nil, "", "config", kv[0], kv[1]); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(p.dir, "hooks", "pre-receive"), []byte(preReceive), 0o700); err != nil { //nolint:gosec // git runs it
		return fmt.Errorf("write the hook: %w", err)
	}
	return nil
}

// CommitSpec is a commit to be made on a branch.
type CommitSpec struct {
	Branch  string
	From    string            // branch to begin at when Branch does not exist; default: the default branch
	Files   map[string]string // written, by path
	Delete  []string          // removed, by path
	Message string
	Author  int64 // a user
}

// writeCommit makes a commit and moves the branch. from is the parent; empty: none.
func (s *Server) writeCommit(ctx context.Context, p *project, author *User, spec CommitSpec, from upgrade.Commit) (upgrade.Commit, error) {
	var in bytes.Buffer
	fmt.Fprintf(&in, "commit refs/heads/%s\nmark :1\n", spec.Branch)
	stamp := fmt.Sprintf("%s <%s> %d +0000", author.Name, author.Email, s.clock.Now().Unix())
	fmt.Fprintf(&in, "author %s\ncommitter %s\ndata %d\n%s\n", stamp, stamp, len(spec.Message), spec.Message)
	if from != "" {
		fmt.Fprintf(&in, "from %s\n", from)
	}
	for _, path := range spec.Delete {
		fmt.Fprintf(&in, "D %s\n", strconv.Quote(path))
	}
	for _, path := range sorted(spec.Files) {
		content := spec.Files[path]
		fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", strconv.Quote(path), len(content), content)
	}
	in.WriteString("get-mark :1\ndone\n")
	out, err := s.run(ctx, p.dir, nil, in.String(), "fast-import", "--quiet", "--done")
	if err != nil {
		return "", err
	}
	return upgrade.ParseCommit(strings.TrimSpace(out))
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// learn remembers what there is to say of commits.
func (s *Server) learn(ctx context.Context, p *project, commits ...upgrade.Commit) error {
	for _, id := range commits {
		if _, known := p.commits[id]; known || id.Zero() {
			continue
		}
		out, err := s.run(ctx, p.dir, nil, "", "log", "-1", "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B", string(id), "--")
		if err != nil {
			return err
		}
		info, err := parseCommit(out)
		if err != nil {
			return err
		}
		p.commits[info.ID] = info
	}
	return nil
}

func parseCommit(out string) (commitInfo, error) {
	f := strings.SplitN(out, "\x00", 10)
	if len(f) != 10 {
		return commitInfo{}, fmt.Errorf("git log gave %d fields", len(f))
	}
	when := func(s string) time.Time {
		n, _ := strconv.ParseInt(s, 10, 64) // git wrote it
		return time.Unix(n, 0).UTC()
	}
	return commitInfo{
		ID: upgrade.Commit(f[0]), Tree: upgrade.Tree(f[1]), Parents: strings.Fields(f[2]),
		Author: person{f[3], f[4], when(f[5])}, Committer: person{f[6], f[7], when(f[8])},
		Message: strings.TrimRight(f[9], "\n") + "\n",
	}, nil
}

// between returns the commits that are in head and not in base, oldest first, and learns them.
func (s *Server) between(ctx context.Context, p *project, base, head upgrade.Commit) ([]upgrade.Commit, error) {
	args := []string{"rev-list", "--reverse", "--max-count=100", string(head)}
	if !base.Zero() {
		args = append(args, "^"+string(base))
	}
	out, err := s.run(ctx, p.dir, nil, "", args...)
	if err != nil {
		return nil, err
	}
	var ids []upgrade.Commit
	for line := range strings.FieldsSeq(out) {
		ids = append(ids, upgrade.Commit(line))
	}
	return ids, s.learn(ctx, p, ids...)
}

// heads returns all branches as they are in the repository.
func (s *Server) heads(ctx context.Context, p *project) (map[string]upgrade.Commit, error) {
	out, err := s.run(ctx, p.dir, nil, "", "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads/")
	if err != nil {
		return nil, err
	}
	heads := map[string]upgrade.Commit{}
	for line := range strings.Lines(out) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		heads[name] = upgrade.Commit(id)
	}
	return heads, nil
}

// errConflict is that two branches cannot be merged by git alone.
var errConflict = errors.New("the branches have conflicting changes")

// mergedTree returns the tree that merging source into target gives.
func (s *Server) mergedTree(ctx context.Context, p *project, target, source upgrade.Commit) (upgrade.Tree, error) {
	out, err := s.run(ctx, p.dir, nil, "", "merge-tree", "--write-tree", string(target), string(source))
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ended && exit.ExitCode() == 1:
		return "", errConflict
	case err != nil:
		return "", err
	}
	return upgrade.Tree(strings.TrimSpace(out)), nil
}

// commitTree makes a commit of a tree, without moving anything.
func (s *Server) commitTree(ctx context.Context, p *project, by *User, tree upgrade.Tree, message string, parents ...upgrade.Commit) (upgrade.Commit, error) {
	at := strconv.FormatInt(s.clock.Now().Unix(), 10) + " +0000"
	args := []string{"commit-tree", string(tree)}
	for _, parent := range parents {
		args = append(args, "-p", string(parent))
	}
	out, err := s.run(ctx, p.dir, []string{
		"GIT_AUTHOR_NAME=" + by.Name, "GIT_AUTHOR_EMAIL=" + by.Email, "GIT_AUTHOR_DATE=" + at,
		"GIT_COMMITTER_NAME=" + by.Name, "GIT_COMMITTER_EMAIL=" + by.Email, "GIT_COMMITTER_DATE=" + at,
	}, message, args...)
	if err != nil {
		return "", err
	}
	return upgrade.ParseCommit(strings.TrimSpace(out))
}
