package gitlab

import (
	"context"
	"fmt"
	"strings"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// Notes returns what people wrote on a merge request, oldest first, without GitLab's own notes.
func (c *Client) Notes(ctx context.Context, projectID, iid int64) ([]forge.Note, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return c.listNotes(ctx, projectID, iid)
}

func (c *Client) listNotes(ctx context.Context, projectID, iid int64) ([]forge.Note, error) {
	what := fmt.Sprintf("list notes of merge request !%d of project %d", iid, projectID)
	got, err := list(ctx, c, what, 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.Note, *gl.Response, error) {
			return c.api.Notes.ListMergeRequestNotes(int(projectID), int(iid), &gl.ListMergeRequestNotesOptions{
				ListOptions: opts, OrderBy: new("created_at"), Sort: new("asc"),
			}, opt...)
		})
	if err != nil {
		return nil, err
	}
	out := make([]forge.Note, 0, len(got))
	for _, n := range got {
		if n != nil && !n.System {
			out = append(out, forge.Note{ID: int64(n.ID), Body: n.Body, AuthorID: int64(n.Author.ID)})
		}
	}
	return out, nil
}

// UpsertNote makes one note of ours on a merge request say body (Markdown). The note is found by marker,
// a short name that is hidden in it as an HTML comment; a note that says so already is left alone, and
// there is never a second one, save that two services of one name may each add theirs at one instant. A
// request whose answer is lost is not repeated: the next call finds what came of it.
func (c *Client) UpsertNote(ctx context.Context, projectID, iid int64, marker, body string) error {
	if marker == "" || strings.ContainsAny(marker, "<>\n") || strings.Contains(marker, "--") {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q cannot mark a note", marker), Hint: `it must be a short name without "--", "<" and ">"`}
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	me, err := c.author(ctx)
	if err != nil {
		return err
	}
	c.notes.Lock()
	defer c.notes.Unlock()
	notes, err := c.listNotes(ctx, projectID, iid)
	if err != nil {
		return err
	}
	hidden := "<!-- " + marker + " -->"
	text := hidden + "\n" + body
	for _, n := range notes {
		if n.AuthorID != me || !strings.HasPrefix(n.Body, hidden) { // somebody may quote ours
			continue
		}
		if strings.TrimSpace(n.Body) == strings.TrimSpace(text) {
			return nil
		}
		return c.write(ctx, fmt.Sprintf("edit note %d of merge request !%d of project %d", n.ID, iid, projectID), func(opt gl.RequestOptionFunc) (*gl.Response, error) {
			_, resp, err := c.api.Notes.UpdateMergeRequestNote(int(projectID), int(iid), int(n.ID), &gl.UpdateMergeRequestNoteOptions{Body: &text}, opt)
			return resp, err
		})
	}
	return c.write(ctx, fmt.Sprintf("add a note to merge request !%d of project %d", iid, projectID), func(opt gl.RequestOptionFunc) (*gl.Response, error) {
		_, resp, err := c.api.Notes.CreateMergeRequestNote(int(projectID), int(iid), &gl.CreateMergeRequestNoteOptions{Body: &text}, opt)
		return resp, err
	})
}
