package gitlabsim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"time"
)

// keyID names the only key there is.
const keyID = "gitlabsim-1"

// signingKey returns the key that ID tokens are signed with, made when it is first wanted. mu is held.
func (s *Server) signingKey() (*rsa.PrivateKey, error) {
	if s.key == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("make a signing key: %w", err)
		}
		s.key = key
	}
	return s.key, nil
}

// IDToken returns the ID token that a job would get with id_tokens: an RS256 JWT for that audience. Like
// GitLab's it says numbers and truths as strings.
func (s *Server) IDToken(jobID int64, audience string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, pl, j := s.jobBy(jobID)
	if j == nil || j.External {
		return "", fmt.Errorf("id token: no job %d", jobID)
	}
	key, err := s.signingKey()
	if err != nil {
		return "", err
	}
	user, now := s.users[j.UserID], s.clock.Now()
	namespace, _ := cutLast(p.Path)
	claims := map[string]any{
		"iss": s.url, "aud": audience, "iat": now.Unix(), "nbf": now.Add(-5 * time.Second).Unix(), "exp": now.Add(time.Hour).Unix(), "jti": uuid(),
		"sub": fmt.Sprintf("project_path:%s:ref_type:branch:ref:%s", p.Path, pl.Ref), "namespace_id": "1", "namespace_path": namespace,
		"project_id": strconv.FormatInt(p.ID, 10), "project_path": p.Path, "user_id": strconv.FormatInt(user.ID, 10), "user_login": user.Username, "user_email": user.Email,
		"pipeline_id": strconv.FormatInt(pl.ID, 10), "pipeline_source": pl.Source, "job_id": strconv.FormatInt(j.ID, 10), "ref": pl.Ref, "ref_type": "branch",
		"ref_path": "refs/heads/" + pl.Ref, "ref_protected": strconv.FormatBool(p.isProtected(pl.Ref)), "sha": string(pl.Commit), "runner_id": 1,
		"runner_environment": "self-hosted",
	}
	if j.Environment != "" {
		claims["environment"], claims["deployment_tier"], claims["environment_action"] = j.Environment, tierOf(j.Environment), "start"
	}
	return signJWT(key, claims)
}

func signJWT(key *rsa.PrivateKey, claims map[string]any) (string, error) {
	part := func(v any) (string, error) {
		raw, err := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw), err
	}
	header, err := part(map[string]any{"alg": "RS256", "kid": keyID, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	body, err := part(claims)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(header + "." + body))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign the id token: %w", err)
	}
	return header + "." + body + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// identityRoutes serve what somebody needs to check an ID token.
func (s *Server) identityRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		url := s.URL()
		answer(w, http.StatusOK, map[string]any{
			"issuer": url, "jwks_uri": url + "/oauth/discovery/keys", "authorization_endpoint": url + "/oauth/authorize", "token_endpoint": url + "/oauth/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /oauth/discovery/keys", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		key, err := s.signingKey()
		s.mu.Unlock()
		if err != nil {
			answer(w, http.StatusInternalServerError, message(err.Error()))
			return
		}
		answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": keyID, "use": "sig", "alg": "RS256", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
}
