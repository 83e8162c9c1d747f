package server

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

//go:embed templates/*.html
var templateFiles embed.FS

const htmlType = "text/html; charset=utf-8"

// minZip is the smallest page that is worth compressing, in bytes.
const minZip = 1400

// pages are the parsed templates: one set per page, all of them with the parts.
type pages map[string]*template.Template

// loadTemplates parses every template. Files that begin with an underscore are shared by all pages.
func loadTemplates(assets map[string]asset) (pages, error) {
	funcs := template.FuncMap{
		// asset returns the address of a static file; one that is not there is a mistake of ours.
		"asset": func(name string) (string, error) {
			a, ok := assets[name]
			if !ok {
				return "", fmt.Errorf("there is no static file %q", name)
			}
			return "/static/" + a.name, nil
		},
		"pair": func(title string, rows any) pairView { return pairView{title, rows} },
	}
	shared, err := template.New("").Funcs(funcs).Option("missingkey=error").ParseFS(templateFiles, "templates/_*.html")
	if err != nil {
		return nil, fmt.Errorf("parse shared templates: %w", err)
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list templates: %w", err)
	}
	out := pages{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		if strings.HasPrefix(name, "_") {
			continue
		}
		set, err := shared.Clone()
		if err != nil {
			return nil, fmt.Errorf("clone templates: %w", err)
		}
		if out[name], err = set.ParseFS(templateFiles, file); err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
	}
	return out, nil
}

// pairView is a list under a title, for templates that show several alike.
type pairView struct {
	Title string
	Rows  any
}

// page turns a handler that may return an error into one of gin's, for pages.
func (s *Server) page(handle func(c *gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := handle(c); err != nil {
			s.answer(c, err)
		}
	}
}

// show renders a page whole, or not at all.
func (s *Server) show(c *gin.Context, code int, name string, l layout) error {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "page", l); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	sendHTML(c, code, b.Bytes())
	return nil
}

func sendHTML(c *gin.Context, code int, body []byte) {
	var zipped []byte
	if len(body) > minZip && strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		zipped = zip(body)
	}
	send(c, code, htmlType, body, zipped)
}

// showPart renders one part of a page, or says that it has not changed.
func (s *Server) showPart(c *gin.Context, page, name string, model any) error {
	var b bytes.Buffer
	if err := s.pages[page].ExecuteTemplate(&b, name, model); err != nil {
		return fmt.Errorf("render part %s: %w", name, err)
	}
	sum := sha256.Sum256(b.Bytes())
	etag := `W/"` + hex.EncodeToString(sum[:12]) + `"`
	c.Header("ETag", etag)
	c.Header("Cache-Control", "private, no-cache") // kept, but asked about each time
	if c.GetHeader("If-None-Match") == etag {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	sendHTML(c, http.StatusOK, b.Bytes())
	return nil
}

// errorPage is the page of an error.
type errorPage struct {
	Title, Detail, Hint, RequestID string
	Code                           int
}

// answerPage tells an error to people.
func (s *Server) answerPage(c *gin.Context, err error) {
	s.logUnexpected(c, err)
	refusedBy(c.Request.Context(), err)
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	c.Abort()
	p := problemOf(err, requestID(c))
	model := errorPage{Title: errorTitle(p), Detail: stop(p.Detail), Hint: stop(p.Hint), RequestID: p.RequestID, Code: p.Status}
	if err := s.show(c, p.Status, "error", s.layout(c, model.Title, model)); err != nil {
		s.log.ErrorContext(c.Request.Context(), "page of an error went wrong", "request_id", p.RequestID, "err", err)
		c.String(p.Status, "%s", p.Detail)
	}
}

func errorTitle(p problem) string {
	switch p.Code {
	case upgrade.CodeNotFound:
		return "There is nothing here"
	case upgrade.CodeForbidden:
		return "You may not do this"
	case upgrade.CodeUnauthorized:
		return "Sign in first"
	case upgrade.CodeInvalid:
		return "This cannot be asked like that"
	case upgrade.CodeConflict, upgrade.CodeStale, upgrade.CodeBusy:
		return "It is not possible now"
	case upgrade.CodeLimited, upgrade.CodeUnavailable:
		return "It cannot be answered now"
	case upgrade.CodeInternal:
	}
	return "Something went wrong"
}
