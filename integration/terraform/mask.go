package terraform

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// masked stands where a secret was.
	masked = "(secret)"
	// shortest is the length of the shortest secret that is masked: a shorter one would hide ordinary words.
	shortest = 6
	// keyLines is how many lines a private key has at most. A key that is only spoken of must not hide
	// the rest of the log.
	keyLines = 120
	// longestLine is how much of a line without an end is held back.
	longestLine = 1 << 20
)

// shapes are what tokens of well-known systems look like. The groups round the secret are kept.
func shapes() []string {
	return []string{
		`()gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.-]{16,}`, // GitLab
		`()gh[pousr]_[A-Za-z0-9]{30,}`,
		`()xox[abposr]-[A-Za-z0-9-]{10,}`,
		`()\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`,
		`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`, // JSON web token
		`(?i)(\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"'\\]+`,
		`(?i)(\bprivate-token["']?\s*[:=]\s*["']?)[^\s"'\\]+`,
		`(?i)(\b(?:aws_)?(?:secret_access_key|session_token)["']?\s*[:=]\s*\\?["']?)[A-Za-z0-9/+=]{16,}`,
		`(\b[a-z][a-z0-9+.-]*://[^\s/:@"']*:)[^\s/@"']+(@)`,
		`(?s)()-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----)?`,
	}
}

// Masker replaces secrets in text with "(secret)": values that are known, also as JSON, URLs and
// base64 write them, and whatever looks like a well-known token (S9).
type Masker struct {
	known   *strings.Replacer // nil: none
	shapes  []*regexp.Regexp
	keyBody *regexp.Regexp
}

// NewMasker returns a Masker for the given secrets. Those shorter than six bytes are left alone. Of a
// secret with several lines each longer line counts too, since Terraform indents what it quotes.
func NewMasker(secrets ...upgrade.Secret) *Masker {
	forms := map[string]bool{}
	for _, secret := range secrets {
		value := secret.Reveal()
		addForms(forms, value)
		if lines := strings.Split(value, "\n"); len(lines) > 1 {
			for _, line := range lines {
				if line = strings.TrimSpace(line); len(line) >= 2*shortest {
					addForms(forms, line)
				}
			}
		}
	}
	m := &Masker{keyBody: regexp.MustCompile(`[A-Za-z0-9+/]{16,}={0,2}`)}
	for _, shape := range shapes() {
		m.shapes = append(m.shapes, regexp.MustCompile(shape))
	}
	if len(forms) == 0 {
		return m
	}
	ordered := make([]string, 0, len(forms))
	for form := range forms {
		ordered = append(ordered, form)
	}
	// Where two match at one place, the replacer takes the one named first: the longer one.
	slices.SortFunc(ordered, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var oldnew []string
	for _, form := range ordered {
		oldnew = append(oldnew, form, masked)
	}
	m.known = strings.NewReplacer(oldnew...)
	return m
}

func addForms(forms map[string]bool, value string) {
	if len(value) < shortest {
		return
	}
	for _, form := range []string{
		value, strings.TrimSpace(value), url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		inJSON(value, true), inJSON(value, false),
	} {
		if len(form) >= shortest {
			forms[form] = true
			forms[inJSON(form, false)] = true // as quoted once more, in Terraform's JSON log
		}
	}
}

// inJSON returns what stands between the quotes when s is written as JSON.
func inJSON(s string, html bool) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(html)
	if err := enc.Encode(s); err != nil {
		return s // a string can always be encoded
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(out.String()), `"`), `"`)
}

// Mask returns text without its secrets.
func (m *Masker) Mask(text string) string {
	if m.known != nil {
		text = m.known.Replace(text)
	}
	for _, shape := range m.shapes {
		text = shape.ReplaceAllString(text, "${1}"+masked+"${2}")
	}
	return text
}

// Writer returns a writer that masks line by line, so that a secret is found even if it comes in
// pieces, and the body of a PEM private key even though it spans lines. Close writes an unfinished last
// line; it does not close w.
func (m *Masker) Writer(w io.Writer) io.WriteCloser { return &maskWriter{masker: m, to: w} }

// JSONWriter is Writer for lines that are JSON objects: it masks their strings, whatever their escapes,
// and keeps them valid JSON. Other lines are masked as text.
func (m *Masker) JSONWriter(w io.Writer) io.WriteCloser {
	return &maskWriter{masker: m, to: w, json: true}
}

type maskWriter struct {
	masker *Masker
	to     io.Writer
	json   bool

	mu    sync.Mutex // guards the fields below: stdout and stderr may share a writer
	held  []byte     // the line that has not ended yet
	inKey int        // how many more lines may belong to a private key that has begun
}

// Write masks and writes the lines that p completes.
func (w *maskWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, p...)
	end := bytes.LastIndexByte(w.held, '\n') + 1
	if end == 0 && len(w.held) > longestLine {
		end = len(w.held)
	}
	if end == 0 {
		return len(p), nil
	}
	err := w.putLocked(string(w.held[:end]))
	w.held = append(w.held[:0], w.held[end:]...)
	return len(p), err
}

// Close writes what is held back.
func (w *maskWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := string(w.held)
	w.held = nil
	if rest == "" {
		return nil
	}
	return w.putLocked(rest)
}

func (w *maskWriter) putLocked(text string) error {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if w.json {
			if masked, ok := w.masker.maskJSON(line, w.maskLineLocked); ok {
				out.WriteString(masked)
				continue
			}
		}
		out.WriteString(w.maskLineLocked(line))
	}
	_, err := io.WriteString(w.to, out.String())
	return err
}

func (w *maskWriter) maskLineLocked(line string) string {
	begins := strings.Contains(line, "-----BEGIN ") && strings.Contains(line, "PRIVATE KEY-----")
	ends := strings.Contains(line, "-----END ") && strings.Contains(line, "PRIVATE KEY-----")
	if w.inKey > 0 {
		line = w.masker.keyBody.ReplaceAllString(line, masked)
		w.inKey--
	}
	switch {
	case ends:
		w.inKey = 0
	case begins:
		w.inKey = keyLines
	}
	return w.masker.Mask(line)
}

// jsonWord matches the keys and fixed values of Terraform's own log, which stay as they are even if a
// variable has such a word as its value.
var jsonWord = regexp.MustCompile(`^[@a-z_.]{1,30}$`)

// maskJSON masks the strings of one JSON object, however they are escaped; ok is false if line is none.
func (m *Masker) maskJSON(line string, mask func(string) string) (out string, ok bool) {
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil || object == nil {
		return "", false
	}
	if strings.TrimSpace(line[dec.InputOffset():]) != "" {
		return "", false
	}
	raw, err := json.Marshal(maskValue("", object, mask))
	if err != nil {
		return "", false
	}
	return string(raw) + "\n", true
}

func maskValue(key string, value any, mask func(string) string) any {
	switch v := value.(type) {
	case string:
		switch key {
		case "type", "action", "severity", "operation", "@level", "@module", "@timestamp":
			if len(v) <= 40 {
				return v
			}
		}
		return mask(v)
	case json.Number:
		if masked := mask(v.String()); masked != v.String() {
			return masked
		}
	case []any:
		for i := range v {
			v[i] = maskValue("", v[i], mask)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			shown := name
			if !jsonWord.MatchString(name) {
				shown = mask(name)
			}
			part := maskValue(name, v[name], mask)
			delete(v, name)
			v[shown] = part
		}
	}
	return value
}
