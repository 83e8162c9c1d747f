-- Who is signed in, and which tokens of theirs there are. No secret, only its digest.

-- +goose Up
CREATE TABLE sessions (
  digest   TEXT NOT NULL PRIMARY KEY, -- SHA-256 of the cookie's value, hexadecimal
  id       TEXT NOT NULL UNIQUE,
  subject  TEXT NOT NULL, -- whose: "token/hugo", "gitlab/17", "oidc/corp/…", "local/…"
  begun_at BIGINT NOT NULL, -- real time, as all times here
  seen_at  BIGINT NOT NULL,
  ends_at  BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX sessions_subject ON sessions (subject, begun_at);

CREATE TABLE api_tokens (
  digest   TEXT NOT NULL PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE,
  subject  TEXT NOT NULL,
  made_at  BIGINT NOT NULL,
  ends_at  BIGINT NOT NULL,
  used_at  BIGINT NOT NULL,
  ended_at BIGINT NOT NULL, -- when it was revoked; 0: it was not
  doc      TEXT NOT NULL
);
CREATE INDEX api_tokens_subject ON api_tokens (subject, made_at);
