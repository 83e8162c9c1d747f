package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// writeJSON answers v. A read that succeeded has an ETag, and who has that already gets 304: programs that ask
// again and again need not be sent, nor read, what has not changed. No cache may keep it all the same: it is
// theirs alone.
func writeJSON(c *gin.Context, code int, mediaType string, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // a test encodes every shape
	}
	writeTagged(c, code, mediaType, b.Bytes())
}

func writeTagged(c *gin.Context, code int, mediaType string, body []byte) {
	if code == http.StatusOK && (c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead) {
		sum := sha256.Sum256(body)
		tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		c.Header("ETag", tag)
		if hasTag(c.GetHeader("If-None-Match"), tag) {
			c.Status(http.StatusNotModified)
			c.Writer.WriteHeaderNow()
			return
		}
	}
	c.Header("Content-Type", mediaType)
	c.Status(code)
	_, _ = c.Writer.Write(body) // the reader has gone
}

// hasTag reports whether If-None-Match names the tag (RFC 9110 §13.1.2).
func hasTag(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
