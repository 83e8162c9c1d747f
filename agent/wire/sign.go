package wire

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The calls, all of them POST.
const (
	PathEnrol   = "/api/v1/agent/enrol"
	PathPoll    = "/api/v1/agent/poll"
	PathSamples = "/api/v1/agent/samples"
	PathPing    = "/api/v1/agent/ping"
)

// Headers of a signed call.
const (
	HeaderAgent     = "Upgradegate-Agent"
	HeaderTime      = "Upgradegate-Time" // milliseconds since 1970 by the gate's clock; in an answer, what that clock says
	HeaderNonce     = "Upgradegate-Nonce"
	HeaderSignature = "Upgradegate-Signature"
)

// Window is how far the time of a call may lie from the gate's own.
const Window = time.Minute

// signedFor keeps a signature from meaning anything elsewhere.
const signedFor = "upgradegate agent call v1"

// Signature is what proves that a call comes from an agent and is what the agent sent.
type Signature struct {
	Agent upgrade.AgentName
	At    time.Time // by the gate's clock, as the agent knows it; whole milliseconds
	Nonce string    // never used before
	Sig   []byte
}

// Sign signs a call. The signature covers method, path, the digest of the body, time, nonce and name, and
// neither host nor headers: a reverse proxy may change those.
func Sign(key ed25519.PrivateKey, agent upgrade.AgentName, method, path string, body []byte, at time.Time) Signature {
	s := Signature{Agent: agent, At: at.Truncate(time.Millisecond), Nonce: rand.Text()}
	s.Sig = ed25519.Sign(key, s.message(method, path, body))
	return s
}

// message is what is signed. No part can hold the newline that parts them.
func (s Signature) message(method, path string, body []byte) []byte {
	digest := sha256.Sum256(body)
	return []byte(strings.Join([]string{
		signedFor, method, path, hex.EncodeToString(digest[:]), strconv.FormatInt(s.At.UnixMilli(), 10), s.Nonce, string(s.Agent),
	}, "\n"))
}

// By reports whether the owner of the key signed this very call. It says nothing about when.
func (s Signature) By(key ed25519.PublicKey, method, path string, body []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, s.message(method, path, body), s.Sig)
}

// Write puts the signature into the headers of a call.
func (s Signature) Write(h http.Header) {
	h.Set(HeaderAgent, string(s.Agent))
	h.Set(HeaderTime, strconv.FormatInt(s.At.UnixMilli(), 10))
	h.Set(HeaderNonce, s.Nonce)
	h.Set(HeaderSignature, base64.StdEncoding.EncodeToString(s.Sig))
}

var (
	agentForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	nonceForm = regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)
)

// ReadSignature reads the signature from the headers of a call. CodeUnauthorized when it is not whole.
func ReadSignature(h http.Header) (Signature, error) {
	refuse := func(what string) (Signature, error) {
		return Signature{}, &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "the call of the agent is not signed: " + what}
	}
	s := Signature{Agent: upgrade.AgentName(h.Get(HeaderAgent)), Nonce: h.Get(HeaderNonce)}
	if !agentForm.MatchString(string(s.Agent)) {
		return refuse("it names no agent")
	}
	if !nonceForm.MatchString(s.Nonce) {
		return refuse("it has no nonce")
	}
	ms, err := strconv.ParseInt(h.Get(HeaderTime), 10, 64)
	if err != nil || ms < 0 || ms > 1<<48 {
		return refuse("it has no time")
	}
	s.At = time.UnixMilli(ms)
	s.Sig, err = base64.StdEncoding.DecodeString(h.Get(HeaderSignature))
	if err != nil || len(s.Sig) != ed25519.SignatureSize {
		return refuse("it has no signature")
	}
	return s, nil
}

// Fingerprint names a public key for people, as ssh does.
func Fingerprint(key ed25519.PublicKey) string {
	digest := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(digest[:])
}
