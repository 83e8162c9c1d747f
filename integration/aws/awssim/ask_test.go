package awssim_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// caller signs requests: a client of thirty lines that shares nothing with the simulator.
type caller struct{ id, secret, token, region string }

func user() caller {
	return caller{id: awssim.DefaultKeyID, secret: awssim.DefaultSecret, region: "eu-west-2"}
}

// reply is an answer, good or bad, of any of the services.
type reply struct {
	status  int
	code    string // of a refusal
	message string
	doc     element        // of the XML services
	body    map[string]any // of the services that speak JSON
	lost    bool
}

// text returns the text of the first element of that name, however deep.
func (e element) text(name string) string {
	for _, kid := range e.Kids {
		if kid.XMLName.Local == name && len(kid.Kids) == 0 {
			return kid.Text
		}
		if v := kid.text(name); v != "" {
			return v
		}
	}
	return ""
}

// all returns every element of that name, however deep.
func (e element) all(name string) []element {
	var out []element
	for _, kid := range e.Kids {
		if kid.XMLName.Local == name {
			out = append(out, kid)
		}
		out = append(out, kid.all(name)...)
	}
	return out
}

func (r reply) text(name string) string {
	if r.body != nil {
		v, _ := r.body[name].(string)
		return v
	}
	return r.doc.text(name)
}

// targets are the services that speak JSON, with what stands before the action.
func targets() map[string]string {
	return map[string]string{
		"kms": "TrentService.", "ecs": "AmazonEC2ContainerServiceV20141113.", "ssm": "AmazonSSM.",
		"cloudtrail": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.",
	}
}

// request builds a signed request. Parameters come in pairs; those of the services that speak JSON are its
// values.
func (c caller) request(t *testing.T, base, service, action string, params ...any) *http.Request {
	t.Helper()
	var body []byte
	kind, target := "application/x-www-form-urlencoded", ""
	if prefix := targets()[service]; prefix != "" {
		fields := map[string]any{}
		for i := 0; i < len(params); i += 2 {
			fields[params[i].(string)] = params[i+1]
		}
		body, _ = json.Marshal(fields)
		kind, target = "application/x-amz-json-1.1", prefix+action
	} else {
		form := url.Values{"Action": {action}}
		for i := 0; i < len(params); i += 2 {
			form.Set(params[i].(string), params[i+1].(string))
		}
		body = []byte(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	if c.token != "" {
		req.Header.Set("X-Amz-Security-Token", c.token)
	}
	c.sign(req, service, body, time.Now())
	return req
}

func (c caller) sign(req *http.Request, service string, body []byte, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	req.Header.Set("X-Amz-Date", stamp)
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	hash := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	canonical := "POST\n/\n\nhost:" + req.URL.Host + "\nx-amz-date:" + stamp + "\n\nhost;x-amz-date\n" + hash(body)
	scope := stamp[:8] + "/" + c.region + "/" + service + "/aws4_request"
	key := []byte("AWS4" + c.secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	sig := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hash([]byte(canonical))))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.id+"/"+scope+", SignedHeaders=host;x-amz-date, Signature="+sig)
}

// ask asks the simulator as the default user.
func (w *world) ask(t *testing.T, service, action string, params ...any) reply {
	t.Helper()
	return w.as(t, user(), service, action, params...)
}

// must is ask for what must not be refused.
func (w *world) must(t *testing.T, service, action string, params ...any) reply {
	t.Helper()
	r := w.ask(t, service, action, params...)
	if r.code != "" || r.status != http.StatusOK {
		t.Fatalf("%s:%s: %d %s: %s", service, action, r.status, r.code, r.message)
	}
	return r
}

// as asks the simulator as somebody.
func (w *world) as(t *testing.T, who caller, service, action string, params ...any) reply {
	t.Helper()
	return send(t, who.request(t, w.url, service, action, params...))
}

func send(t *testing.T, req *http.Request) reply {
	t.Helper()
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return reply{lost: true}
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: answer.StatusCode}
	if strings.Contains(answer.Header.Get("Content-Type"), "json") {
		r.body = map[string]any{}
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &r.body); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
		}
		r.code, _ = r.body["__type"].(string)
		r.message, _ = r.body["message"].(string)
		return r
	}
	if err := xml.Unmarshal(raw, &r.doc); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if r.status != http.StatusOK {
		r.code, r.message = r.doc.text("Code"), r.doc.text("Message")
	}
	return r
}

// assume returns the credentials of a role.
func (w *world) assume(t *testing.T, role, external string) caller {
	t.Helper()
	params := []any{"RoleArn", role, "RoleSessionName", "run-1"}
	if external != "" {
		params = append(params, "ExternalId", external)
	}
	r := w.must(t, "sts", "AssumeRole", params...)
	return caller{id: r.text("AccessKeyId"), secret: r.text("SecretAccessKey"), token: r.text("SessionToken"), region: "eu-west-2"}
}
