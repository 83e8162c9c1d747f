package awssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	amzTime     = "20060102T150405Z"
	headerToken = "X-Amz-Security-Token" //nolint:gosec // the name of a header, no credential
)

// signature is what an Authorization header of Signature Version 4 says.
type signature struct {
	key     string // access key ID
	date    string // YYYYMMDD
	region  string
	service string
	headers []string // signed, lower case, sorted
	value   string   // hexadecimal
}

// parseAuthorization reads an Authorization header. Errors: MissingAuthenticationToken for none,
// IncompleteSignature for one that is not whole.
func parseAuthorization(header string) (signature, error) {
	if header == "" {
		return signature{}, &apiError{http.StatusForbidden, "MissingAuthenticationToken", "Missing Authentication Token"}
	}
	kind, rest, _ := strings.Cut(header, " ")
	if kind != algorithm {
		return signature{}, incomplete("Authorization header requires '%s' as its algorithm, not %.40q", algorithm, kind)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || value == "" {
			return signature{}, incomplete("Authorization header has a part without a value: %.60q", part)
		}
		fields[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return signature{}, incomplete("Authorization header requires '%s' parameter.", name)
		}
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || slices.Contains(scope, "") || scope[4] != "aws4_request" {
		return signature{}, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got %.120q",
			fields["Credential"])
	}
	if _, err := time.Parse("20060102", scope[1]); err != nil {
		return signature{}, incomplete("the date %.20q in the credential scope is not one", scope[1])
	}
	headers := strings.Split(fields["SignedHeaders"], ";")
	if !slices.Contains(headers, "host") || !slices.IsSorted(headers) {
		return signature{}, incomplete("SignedHeaders must be sorted and contain 'host'")
	}
	return signature{
		key: scope[0], date: scope[1], region: scope[2], service: scope[3],
		headers: headers, value: fields["Signature"],
	}, nil
}

func incomplete(format string, args ...any) error {
	err := refuse("IncompleteSignature", format, args...)
	return err
}

// signedAt returns when the client says it signed: its own clock, which need not be the world's.
func signedAt(r *http.Request, sig signature) (time.Time, error) {
	raw := r.Header.Get("X-Amz-Date")
	if raw == "" {
		return time.Time{}, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	at, err := time.Parse(amzTime, raw)
	if err != nil {
		return time.Time{}, incomplete("Date must be in ISO-8601 'basic format'. Got %.40q.", raw)
	}
	if at.Format("20060102") != sig.date {
		return time.Time{}, &apiError{
			http.StatusForbidden, "SignatureDoesNotMatch",
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
		}
	}
	return at, nil
}

// verify checks the signature itself against the secret. Error: SignatureDoesNotMatch.
func verify(r *http.Request, body []byte, sig signature, secret string) error {
	sum := sha256.Sum256([]byte(canonical(r, body, sig)))
	scope := strings.Join([]string{sig.date, sig.region, sig.service, "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, r.Header.Get("X-Amz-Date"), scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{sig.date, sig.region, sig.service, "aws4_request"} {
		key = keyed(key, part)
	}
	want := hex.EncodeToString(keyed(key, text))
	if subtle.ConstantTimeCompare([]byte(want), []byte(sig.value)) != 1 {
		return &apiError{
			http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method.",
		}
	}
	return nil
}

func keyed(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text)) // a hash takes everything
	return mac.Sum(nil)
}

// canonical is the request as the signature means it.
func canonical(r *http.Request, body []byte, sig signature) string {
	var headers strings.Builder
	for _, name := range sig.headers {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
			if value == "" && r.ContentLength >= 0 {
				value = itoa(int(r.ContentLength))
			}
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	digest := r.Header.Get("X-Amz-Content-Sha256")
	if digest == "" {
		sum := sha256.Sum256(body)
		digest = hex.EncodeToString(sum[:])
	}
	uri := r.URL.EscapedPath()
	if uri == "" {
		uri = "/"
	}
	query := strings.ReplaceAll(sortedQuery(r.URL.Query()), "+", "%20")
	return strings.Join([]string{r.Method, uri, query, headers.String(), strings.Join(sig.headers, ";"), digest}, "\n")
}

func sortedQuery(v url.Values) string { return v.Encode() }
