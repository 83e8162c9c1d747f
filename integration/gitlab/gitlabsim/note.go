package gitlabsim

import (
	"fmt"
	"net/http"
)

// maxNote is how long a note may be, in characters.
const maxNote = 1_000_000

// AddNote writes a comment on a merge request.
func (s *Server) AddNote(projectID, iid, by int64, body string) (Note, error) {
	var made *Note
	err := s.onRequest(projectID, iid, by, "comment", func(p *project, mr *mergeRequest, user *User) (refused *refusal) {
		made, refused = s.addNote(p, mr, user, body)
		return refused
	})
	if err != nil {
		return Note{}, err
	}
	return *made, nil
}

func (s *Server) addNote(p *project, mr *mergeRequest, by *User, body string) (*Note, *refusal) {
	if refused := checkNote(body); refused != nil {
		return nil, refused
	}
	now := s.clock.Now()
	mr.Notes = append(mr.Notes, Note{ID: next(&s.ids.note), AuthorID: by.ID, Body: body, CreatedAt: now, UpdatedAt: now})
	n := &mr.Notes[len(mr.Notes)-1]
	s.act(by, "note", p.Path+mr.name(), fmt.Sprintf("added note %d", n.ID), "")
	s.fire(p, "note", s.noteBody(p, mr, n, by, "create"))
	return n, nil
}

func (s *Server) editNote(p *project, mr *mergeRequest, n *Note, by *User, body string) *refusal {
	if n.AuthorID != by.ID && p.members[by.ID] < Maintainer {
		return &refusal{http.StatusForbidden, "403 Forbidden"}
	}
	if refused := checkNote(body); refused != nil {
		return refused
	}
	n.Body, n.UpdatedAt = body, s.clock.Now()
	s.act(by, "note", p.Path+mr.name(), fmt.Sprintf("edited note %d", n.ID), "")
	s.fire(p, "note", s.noteBody(p, mr, n, by, "update"))
	return nil
}

func checkNote(body string) *refusal {
	if body == "" {
		return &refusal{http.StatusBadRequest, map[string][]string{"note": {"can't be blank"}}}
	}
	if len(body) > maxNote {
		return &refusal{http.StatusBadRequest, map[string][]string{"note": {"is too long (maximum is 1000000 characters)"}}}
	}
	return nil
}
