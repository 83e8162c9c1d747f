-- What was answered to posts with an Idempotency-Key: one that is sent again has no second effect, after a
-- restart too. No secret is in an answer that is kept.

-- +goose Up
CREATE TABLE keyed_posts (
  key_digest TEXT NOT NULL PRIMARY KEY, -- SHA-256 over caller, route and key, hexadecimal
  caller     TEXT NOT NULL,             -- SHA-256, hexadecimal
  imprint    TEXT NOT NULL,             -- SHA-256 over address and body, hexadecimal
  begun_at   BIGINT NOT NULL,           -- real time
  acted      BIGINT NOT NULL,           -- 1: what it asks for was done, noted in the transaction that did it
  code       BIGINT NOT NULL,           -- that was answered; 0: not yet
  body       TEXT NOT NULL
);
CREATE INDEX keyed_posts_begun ON keyed_posts (begun_at);
CREATE INDEX keyed_posts_caller ON keyed_posts (caller, begun_at);
