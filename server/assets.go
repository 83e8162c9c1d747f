package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"
)

//go:embed static
var staticFiles embed.FS

// asset is an embedded file under the name that it is served by: with a hash of its content, so that
// it may be kept for a year.
type asset struct {
	name      string // such as app.1f2e3d4c5b.css
	mediaType string
	body      []byte
	zipped    []byte // nil if that would not make it smaller
}

// loadAssets reads what is served under /static: by plain name for templates, by served name for requests.
func loadAssets() (plain, served map[string]asset, err error) {
	plain, served = map[string]asset{}, map[string]asset{}
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
	}
	err = fs.WalkDir(staticFiles, "static", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := staticFiles.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		name, ext := path.Base(file), path.Ext(file)
		if types[ext] == "" {
			return fmt.Errorf("%s: no media type is known for %q", file, ext)
		}
		sum := sha256.Sum256(body)
		a := asset{
			name:      strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:5]) + ext,
			mediaType: types[ext], body: body, zipped: zip(body),
		}
		plain[name], served[a.name] = a, a
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("load static files: %w", err)
	}
	return plain, served, nil
}

// zip compresses body, or returns nil if that does not pay.
func zip(body []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(body); err != nil {
		return nil
	}
	if err := w.Close(); err != nil || b.Len() >= len(body) {
		return nil
	}
	return b.Bytes()
}

func (s *Server) static(c *gin.Context) {
	a, ok := s.files[c.Param("name")]
	if !ok {
		c.Status(http.StatusNotFound)
		c.Writer.WriteHeaderNow()
		return
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	send(c, http.StatusOK, a.mediaType, a.body, a.zipped)
}

// send answers body, or zipped if there is one and the reader takes it.
func send(c *gin.Context, code int, mediaType string, body, zipped []byte) {
	c.Header("Content-Type", mediaType)
	c.Header("Vary", "Accept-Encoding")
	if zipped != nil && strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		c.Header("Content-Encoding", "gzip")
		body = zipped
	}
	c.Header("Content-Length", fmt.Sprint(len(body)))
	c.Status(code)
	_, _ = c.Writer.Write(body) // the reader has gone: nobody to tell
}
