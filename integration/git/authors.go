package git

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// authorFields are what git is asked about each commit: author, committer, and the co-authors of its
// trailers, a line each. Names and addresses are those of the commit: what a .mailmap of the repository
// makes of them is up to whoever may push.
const authorFields = "%an%x00%ae%x00%cn%x00%ce%x00%(trailers:key=Co-authored-by,valueonly,unfold)"

// Authors returns who wrote the commits that head has and base has not: authors, committers, and whom
// Co-authored-by trailers name. Each pair of name and address is there once, sorted; a co-author may lack
// the address. With an empty base it looks at head alone. Error: CodeNotFound when the mirror lacks
// either commit.
func (g *Git) Authors(ctx context.Context, project forge.Project, base, head upgrade.Commit) ([]forge.Author, error) {
	about := names(kindCommit, head)
	args := []string{"log", "-z", "--no-show-signature", "--encoding=UTF-8", "--format=tformat:" + authorFields}
	if base.Zero() {
		args = append(args, "--max-count=1", string(head))
	} else {
		about = names(kindCommit, base, head)
		args = append(args, string(head), "^"+string(base))
	}
	out, err := g.read(ctx, project, about, append(args, "--")...)
	if err != nil {
		return nil, fmt.Errorf("read the authors up to %s: %w", head.Short(), err)
	}
	all, err := parseAuthors(out)
	if err != nil {
		return nil, fmt.Errorf("read the authors up to %s: %w", head.Short(), err)
	}
	return all, nil
}

// parseAuthors reads what git prints with authorFields, each of them ended by a NUL byte.
func parseAuthors(text string) ([]forge.Author, error) {
	fields := strings.Split(text, "\x00")
	const each = 5
	if len(fields)%each != 1 || fields[len(fields)-1] != "" {
		return nil, fmt.Errorf("git printed %d fields, which is not %d of each commit", len(fields)-1, each)
	}
	var all []forge.Author
	for commit := range slices.Chunk(fields[:len(fields)-1], each) {
		all = append(all, forge.Author{Name: commit[0], Email: commit[1]}, forge.Author{Name: commit[2], Email: commit[3]})
		for line := range strings.Lines(commit[4]) {
			if author := parseAuthor(line); author != (forge.Author{}) {
				all = append(all, author)
			}
		}
	}
	slices.SortFunc(all, func(a, b forge.Author) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Email, b.Email))
	})
	return slices.Compact(all), nil
}

// parseAuthor reads "Name <mail>"; without a mail all of it is the name.
func parseAuthor(text string) forge.Author {
	text = strings.TrimSpace(text)
	at := strings.LastIndexByte(text, '<')
	if at < 0 || !strings.HasSuffix(text, ">") {
		return forge.Author{Name: text}
	}
	return forge.Author{Name: strings.TrimSpace(text[:at]), Email: strings.TrimSpace(text[at+1 : len(text)-1])}
}
