-- Standing gates: the newest answer of each, and for how long it was so; and what the result of a gate
-- leaves to be learned later.

-- +goose Up
CREATE TABLE standings (
  gate        TEXT NOT NULL,
  environment TEXT NOT NULL,
  stack       TEXT NOT NULL, -- empty: it is not about one stack
  outcome     TEXT NOT NULL,
  since       BIGINT NOT NULL,
  held_at     BIGINT NOT NULL, -- 0: it never passed
  rev         BIGINT NOT NULL,
  settings    TEXT NOT NULL, -- digest of the gate's, under which it was asked
  doc         TEXT NOT NULL,
  evidence    TEXT NOT NULL,
  memo        TEXT NOT NULL,
  PRIMARY KEY (gate, environment, stack)
);

CREATE TABLE stretches (
  gate        TEXT NOT NULL,
  environment TEXT NOT NULL,
  stack       TEXT NOT NULL,
  since       BIGINT NOT NULL,
  until       BIGINT NOT NULL,
  outcome     TEXT NOT NULL,
  message     TEXT NOT NULL,
  checks      BIGINT NOT NULL,
  PRIMARY KEY (gate, environment, stack, since)
);
CREATE INDEX stretches_until ON stretches (until);

ALTER TABLE evidence ADD COLUMN pending TEXT NOT NULL DEFAULT '';
CREATE INDEX evidence_pending ON evidence (result_id) WHERE pending <> '';
