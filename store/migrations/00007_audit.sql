-- The audit log: who did what, each row with the hash of the one before. Rows are added and never changed:
-- the triggers stop mistakes, the hashes show malice.

-- +goose Up
CREATE TABLE audit (
  seq     BIGINT NOT NULL PRIMARY KEY,
  at      BIGINT NOT NULL,
  who     TEXT NOT NULL,
  gl_user BIGINT NOT NULL,
  via     TEXT NOT NULL,
  origin  TEXT NOT NULL, -- remote address
  act     TEXT NOT NULL,
  object  TEXT NOT NULL,
  project TEXT NOT NULL,
  stack   TEXT NOT NULL,
  run_id  BIGINT NOT NULL,
  why     TEXT NOT NULL,
  result  TEXT NOT NULL,
  detail  TEXT NOT NULL,
  prev    TEXT NOT NULL,
  hash    TEXT NOT NULL
);
CREATE INDEX audit_who ON audit (who, seq);
CREATE INDEX audit_act ON audit (act, seq);
CREATE INDEX audit_stack ON audit (stack, seq);
CREATE INDEX audit_run ON audit (run_id, seq);

-- The newest row, so that a missing end is found too.
CREATE TABLE audit_head (
  one  BIGINT NOT NULL PRIMARY KEY,
  seq  BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_head (one, seq, hash) VALUES (1, 0, '');

-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
