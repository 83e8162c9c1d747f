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
	"strings"
	"time"
)

// signingKey is what ID tokens are signed with.
type signingKey struct {
	id string
	*rsa.PrivateKey
}

// newestKey returns the key that signs, made when it is first wanted. mu is held.
func (s *Server) newestKey() (signingKey, error) {
	if len(s.keys) == 0 {
		if err := s.addKey(); err != nil {
			return signingKey{}, err
		}
	}
	return s.keys[len(s.keys)-1], nil
}

func (s *Server) addKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	s.ids.key++
	s.keys = append(s.keys, signingKey{fmt.Sprintf("gitlabsim-%d", s.ids.key), key})
	return nil
}

// RotateKey makes a new key, which signs from now on. The old ones are still published if keepOld.
func (s *Server) RotateKey(keepOld bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !keepOld {
		s.keys = nil
	}
	return s.addKey()
}

// SigningKey returns the id of the key that signs and its public half.
func (s *Server) SigningKey() (id string, public *rsa.PublicKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.newestKey()
	if err != nil {
		return "", nil, err
	}
	return key.id, &key.PublicKey, nil
}

// IDToken returns the ID token that a job would get with id_tokens: an RS256 JWT for that audience. Like
// GitLab's it says numbers and truths as strings.
func (s *Server) IDToken(jobID int64, audience string) (string, error) {
	claims, err := s.Claims(jobID, audience)
	if err != nil {
		return "", err
	}
	return s.SignClaims(nil, claims)
}

// Claims returns what the ID token of a job would say. A token with a jti of its own each time.
func (s *Server) Claims(jobID int64, audience string) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, pl, j := s.jobBy(jobID)
	if j == nil || j.External {
		return nil, fmt.Errorf("id token: no job %d", jobID)
	}
	user, now := s.users[j.UserID], s.clock.Now()
	namespace, _ := cutLast(p.Path)
	ref, path := s.refOf(p, pl)
	claims := map[string]any{
		"iss": s.url, "aud": audience, "iat": now.Unix(), "nbf": now.Add(-5 * time.Second).Unix(), "exp": now.Add(time.Hour).Unix(), "jti": uuid(),
		"sub": fmt.Sprintf("project_path:%s:ref_type:branch:ref:%s", p.Path, ref), "namespace_id": "1", "namespace_path": namespace,
		"project_id": strconv.FormatInt(p.ID, 10), "project_path": p.Path, "user_id": strconv.FormatInt(user.ID, 10), "user_login": user.Username, "user_email": user.Email,
		"pipeline_id": strconv.FormatInt(pl.ID, 10), "pipeline_source": pl.Source, "job_id": strconv.FormatInt(j.ID, 10), "ref": ref, "ref_type": "branch",
		"ref_path": path, "ref_protected": strconv.FormatBool(p.isProtected(ref)), "sha": string(pl.Commit), "runner_id": 1,
		"runner_environment": "self-hosted",
	}
	if j.Environment != "" {
		claims["environment"], claims["deployment_tier"], claims["environment_action"] = j.Environment, tierOf(j.Environment), "start"
	}
	return claims, nil
}

// refOf returns the ref that a token names, and its path. A pipeline of a merge request names the
// source branch; that the path is then the merge request's is a guess.
func (s *Server) refOf(p *project, pl *pipeline) (ref, path string) {
	if !strings.HasPrefix(pl.Ref, "refs/") {
		return pl.Ref, "refs/heads/" + pl.Ref
	}
	for _, mr := range p.requests {
		if mr.ref() == pl.Ref {
			return mr.Source, pl.Ref
		}
	}
	return pl.Ref, pl.Ref
}

// SignClaims signs any claims with the newest key. What header says counts more than the usual header;
// a value of nil takes a field away.
func (s *Server) SignClaims(header, claims map[string]any) (string, error) {
	s.mu.Lock()
	key, err := s.newestKey()
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	head := map[string]any{"alg": "RS256", "kid": key.id, "typ": "JWT"}
	for name, value := range header {
		head[name] = value
		if value == nil {
			delete(head, name)
		}
	}
	first, err := part(head)
	if err != nil {
		return "", err
	}
	second, err := part(claims)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(first + "." + second))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key.PrivateKey, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign the id token: %w", err)
	}
	return first + "." + second + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

func part(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode the id token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// identityRoutes serve what somebody needs to check an ID token.
func (s *Server) identityRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		url := s.URL()
		answer(w, http.StatusOK, map[string]any{
			"issuer": url, "jwks_uri": url + "/oauth/discovery/keys", "authorization_endpoint": url + "/oauth/authorize", "token_endpoint": url + "/oauth/token", "userinfo_endpoint": url + "/oauth/userinfo",
			"scopes_supported": []string{"openid", "profile", "email", "api"}, "code_challenge_methods_supported": []string{"plain", "S256"},
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /oauth/discovery/keys", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, err := s.newestKey(); err != nil {
			answer(w, http.StatusInternalServerError, message(err.Error()))
			return
		}
		set := []any{}
		for _, key := range s.keys {
			set = append(set, map[string]any{
				"kty": "RSA", "kid": key.id, "use": "sig", "alg": "RS256", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
				"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
			})
		}
		answer(w, http.StatusOK, map[string]any{"keys": set})
	})
}
