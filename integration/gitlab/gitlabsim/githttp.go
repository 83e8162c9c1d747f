package gitlabsim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cgi" //nolint:gosec // Go sets no HTTP_PROXY from a header any more
	"strings"
)

// maxPush bounds what one git request may send.
const maxPush = 128 << 20

// serveOther serves what is not the API: git, and pages.
func (s *Server) serveOther(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	name, rest, isGit := strings.Cut(path, ".git/")
	switch {
	case isGit:
		s.serveGit(w, r, name, rest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	default:
		s.servePage(w, r, path)
	}
}

// serveGit is git over smart HTTP. GitLab takes Basic with any user name and a token as the password,
// and nothing else; an API header does not count here.
func (s *Server) serveGit(w http.ResponseWriter, r *http.Request, name, rest string) {
	push := rest == "git-receive-pack" || rest == "info/refs" && r.URL.Query().Get("service") == "git-receive-pack"
	fetch := rest == "git-upload-pack" || rest == "info/refs" && r.URL.Query().Get("service") == "git-upload-pack"
	p, user, status := s.mayGit(r, name, push)
	switch {
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
		http.Error(w, "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password.", status)
	case status == http.StatusForbidden:
		http.Error(w, "You are not allowed to push code to this project.", status)
	case status != http.StatusOK, !push && !fetch:
		http.Error(w, "The project you were looking for could not be found or you don't have permission to view it.", http.StatusNotFound)
	case rest == "git-receive-pack":
		p.refs.Lock()
		defer p.refs.Unlock()
		s.backend(w, r, p, user)
		// The client may have left already; what it pushed counts all the same.
		if err := s.pushedOverHTTP(context.WithoutCancel(r.Context()), p, user); err != nil {
			s.log.ErrorContext(r.Context(), "push cannot be taken in", "project", p.Path, "err", err)
		}
	default:
		s.backend(w, r, p, user)
	}
}

// mayGit returns who asks for which project, or the status that refuses it.
func (s *Server) mayGit(r *http.Request, name string, push bool) (*project, *User, int) {
	_, password, basic := r.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.users[s.tokens[password]]
	p := s.projectAt(name)
	switch {
	case basic && user == nil:
		return nil, nil, http.StatusUnauthorized
	case user == nil && (push || p == nil || !p.Public):
		return nil, nil, http.StatusUnauthorized
	case p == nil || !p.Public && p.members[user.ID] < Reporter:
		return nil, nil, http.StatusNotFound
	case push && p.members[user.ID] < Developer:
		return nil, nil, http.StatusForbidden
	}
	return p, user, http.StatusOK
}

// backend hands the request to git http-backend.
func (s *Server) backend(w http.ResponseWriter, r *http.Request, p *project, user *User) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPush))
	if err != nil {
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		return
	}
	env := s.environment("GIT_PROJECT_ROOT="+s.cfg.Dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_PROTOCOL="+r.Header.Get("Git-Protocol"))
	if user != nil {
		env = append(env, "REMOTE_USER="+user.Username)
	}
	env = append(env, s.pushRules(p, user)...)
	req := r.Clone(r.Context())
	// CGI cannot pass on a body in chunks, which git sends for large packs.
	req.Body, req.ContentLength, req.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	req.Header.Del("Authorization")
	_, rest, _ := strings.Cut(r.URL.Path, ".git/")
	req.URL.Path = "/" + p.Path + ".git/" + rest
	handler := cgi.Handler{Path: s.git, Args: []string{"http-backend"}, Dir: p.dir, Env: env, Stderr: io.Discard}
	handler.ServeHTTP(w, req)
}

// pushRules tells the hook which branches this user may not push to, and which only forward.
func (s *Server) pushRules(p *project, user *User) []string {
	if user == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var denied, forward []string
	names := map[string]bool{}
	for b := range p.branches {
		names[b] = true
	}
	for _, r := range p.protected {
		names[r.Name] = true // also one that does not exist yet
	}
	for b := range names {
		rules := p.protection(b)
		if len(rules) == 0 {
			continue
		}
		if !p.may(p.members[user.ID], b, false) {
			denied = append(denied, "refs/heads/"+b)
		}
		if !allowsForce(rules) {
			forward = append(forward, "refs/heads/"+b)
		}
	}
	return []string{"GITLABSIM_DENIED=" + strings.Join(denied, " "), "GITLABSIM_FORWARD=" + strings.Join(forward, " ")}
}

func allowsForce(rules []ProtectedBranch) bool {
	for _, r := range rules {
		if r.ForcePush {
			return true
		}
	}
	return false
}
