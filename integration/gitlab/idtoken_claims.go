package gitlab

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxClaim is the longest text that a claim of a token may hold, in bytes.
const maxClaim = 1024

// claims is what a token says of its job. ID is its jti alone.
type claims struct {
	upgrade.PipelineToken
	notBefore int64 // seconds since 1970; 0: not said
}

// claimReader reads claims by their exact names, which encoding/json alone would not, and keeps the
// first thing that is wrong.
type claimReader struct {
	said map[string]json.RawMessage
	err  error
}

// decodeClaims reads the payload of a token. GitLab writes numbers and truths as strings ("20", "true");
// both forms are taken. Error: CodeUnauthorized, for what is missing or of another form.
func decodeClaims(payload []byte) (claims, error) {
	r := claimReader{}
	if err := json.Unmarshal(payload, &r.said); err != nil || r.said == nil {
		return claims{}, unproven("says nothing that can be read", "")
	}
	c := claims{PipelineToken: upgrade.PipelineToken{
		ID: r.text("jti", true), ProjectID: r.number("project_id"), Project: r.text("project_path", false),
		Ref: r.text("ref", true), RefType: r.text("ref_type", true), Protected: r.truth("ref_protected"),
		Pipeline: r.number("pipeline_id"), Job: r.number("job_id"),
	}}
	commit := r.text("sha", true)
	source, path := r.text("pipeline_source", false), r.text("ref_path", false)
	if _, ok := r.said["nbf"]; ok {
		c.notBefore = r.number("nbf")
	}
	if r.err != nil {
		return claims{}, r.err
	}
	var err error
	if c.Commit, err = upgrade.ParseCommit(commit); err != nil {
		return claims{}, unproven("names no whole commit as sha", "")
	}
	if c.RefType != "branch" && c.RefType != "tag" {
		return claims{}, unproven("is of a ref that is neither a branch nor a tag", "")
	}
	// A pipeline of a merge request says "branch" and names the source branch, which may be of any name.
	if source == "merge_request_event" || strings.HasPrefix(path, "refs/merge-requests/") {
		c.RefType = "merge_request"
	}
	return c, nil
}

func (r *claimReader) wrong(name, what string) {
	if r.err == nil {
		r.err = unproven(fmt.Sprintf("%s %s", what, name), "")
	}
}

// claim returns what the token says under a name; nil if that is nothing, or null.
func (r *claimReader) claim(name string) json.RawMessage {
	raw := r.said[name]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func (r *claimReader) text(name string, needed bool) string {
	raw := r.claim(name)
	var s string
	switch {
	case raw == nil && !needed:
		return ""
	case raw == nil:
		r.wrong(name, "does not say")
	case json.Unmarshal(raw, &s) != nil:
		r.wrong(name, "has no text as")
	case s == "" && needed:
		r.wrong(name, "does not say")
	case len(s) > maxClaim || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		r.wrong(name, "has too long or too odd a text as")
	default:
		return s
	}
	return ""
}

// bare returns a claim that is a string or a bare word, without quotes.
func (r *claimReader) bare(name string) string {
	raw := r.claim(name)
	if raw == nil {
		r.wrong(name, "does not say")
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// number reads a whole number above 0.
func (r *claimReader) number(name string) int64 {
	n, err := strconv.ParseUint(r.bare(name), 10, 63)
	if err != nil || n == 0 {
		r.wrong(name, "has no number as")
		return 0
	}
	return int64(n)
}

func (r *claimReader) truth(name string) bool {
	switch r.bare(name) {
	case "true":
		return true
	case "false":
	default:
		r.wrong(name, "has neither true nor false as")
	}
	return false
}
