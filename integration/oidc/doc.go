// Package oidc lets people sign in at an OpenID Connect provider, such as GitLab: authorization code with
// PKCE (S256), state and nonce, as OAuth 2.0 Security Best Current Practice (RFC 9700) asks for.
package oidc
