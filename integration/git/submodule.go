package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// deepest is how far submodules may nest.
const deepest = 4

// submodules checks out the submodules of a tree, from mirrors of their own.
type submodules struct {
	git     *Git
	project forge.Project
	depth   int
}

func (s submodules) checkout(ctx context.Context, mirror string, tree upgrade.Tree, dir string, entries []entry) error {
	var addresses map[string]string
	for _, e := range entries {
		if e.mode != modeSubmodule {
			continue
		}
		if addresses == nil {
			var err error
			if addresses, err = s.addresses(ctx, mirror, tree); err != nil {
				return err
			}
		}
		if err := s.one(ctx, e, addresses[e.path], filepath.Join(dir, filepath.FromSlash(e.path))); err != nil {
			return fmt.Errorf("submodule %s: %w", e.path, err)
		}
	}
	return nil
}

// one checks out one submodule by its commit. Only repositories of the same GitLab are read: any other
// host would have to be trusted with what is applied.
func (s submodules) one(ctx context.Context, e entry, address, dir string) error {
	const hint = "submodules work within one GitLab; use a relative address in .gitmodules"
	if s.depth >= deepest {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "submodules nest too deep"}
	}
	if address == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the submodule %q is not in .gitmodules", e.path), Hint: hint}
	}
	base, err := s.git.address(s.project)
	if err != nil {
		return err
	}
	target, err := resolve(base, address)
	if err != nil || !sameOrigin(base, target) || target.User != nil {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the submodule %q is not of the same GitLab", e.path), Hint: hint}
	}
	sum := sha256.Sum256([]byte(target.String()))
	sub := forge.Project{Path: strings.Trim(strings.TrimSuffix(target.Path, ".git"), "/"), GitURL: target.String()}
	mirror := filepath.Join(s.git.cfg.Dir, "submodule-"+hex.EncodeToString(sum[:8])+".git")
	commit := upgrade.Commit(e.object)
	if err := s.git.ensureIn(ctx, sub, mirror, commit); err != nil {
		return err
	}
	out, err := s.git.run(ctx, command{dir: mirror, args: []string{"rev-parse", "--verify", string(commit) + "^{tree}"}})
	if err != nil {
		return fmt.Errorf("find its tree: %w", err)
	}
	deeper := submodules{git: s.git, project: sub, depth: s.depth + 1}
	return s.git.checkout(ctx, mirror, upgrade.Tree(strings.TrimSpace(string(out))), dir, deeper)
}

// addresses reads .gitmodules of a tree: path → address.
func (s submodules) addresses(ctx context.Context, mirror string, tree upgrade.Tree) (map[string]string, error) {
	out, err := s.git.run(ctx, command{dir: mirror, args: []string{"config", "--blob", string(tree) + ":.gitmodules", "-z", "--list"}})
	if _, ok := errors.AsType[*failed](err); ok {
		return map[string]string{}, nil // no such file, or not a readable one: each submodule says so
	}
	if err != nil {
		return nil, fmt.Errorf("read .gitmodules: %w", err)
	}
	paths, urls := map[string]string{}, map[string]string{}
	for _, line := range splitZero(string(out)) {
		key, value, _ := strings.Cut(line, "\n")
		name, ok := strings.CutPrefix(key, "submodule.")
		if !ok {
			continue
		}
		if n, ok := strings.CutSuffix(name, ".path"); ok {
			paths[n] = value
		}
		if n, ok := strings.CutSuffix(name, ".url"); ok {
			urls[n] = value
		}
	}
	addresses := map[string]string{}
	for name, p := range paths {
		addresses[path.Clean(p)] = urls[name]
	}
	return addresses, nil
}

// resolve turns an address of .gitmodules into one to fetch from: a relative one counts from the
// project's own, and ssh of the same host becomes the project's own scheme.
func resolve(base *url.URL, address string) (*url.URL, error) {
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		u := *base
		u.Path = path.Join(base.Path, address)
		u.RawPath = ""
		return &u, nil
	}
	if host, rest, ok := strings.Cut(address, ":"); ok && !strings.Contains(address, "://") { // git@host:group/project
		_, host, _ = strings.Cut(host, "@")
		address = "ssh://" + host + "/" + rest
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "ssh" && u.Hostname() == base.Hostname() {
		return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: u.Path}, nil
	}
	return u, nil
}
