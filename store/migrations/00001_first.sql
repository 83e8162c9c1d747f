-- Portable DDL: the same file runs on SQLite and PostgreSQL. Times are BIGINT milliseconds since 1970,
-- 0 for none; names are TEXT; no booleans, JSON types or database clocks. Numbers that people see and
-- readers page by come from counters, so that they become visible in order on either database.

-- +goose Up
CREATE TABLE counters (
  name  TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES
  ('delivery', 0), ('upgrade', 0), ('run', 0), ('result', 0), ('apply', 0), ('order', 0),
  ('request', 0), ('event', 0), ('job', 0);

-- body is last: a list that does not ask for it never reads its pages.
CREATE TABLE deliveries (
  number      BIGINT NOT NULL PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  event       TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  hint        TEXT NOT NULL,
  fate        TEXT NOT NULL,
  reason      TEXT NOT NULL,
  runs        TEXT NOT NULL,
  coding      TEXT NOT NULL, -- of body: 'text', or 'base64' for what no TEXT column can hold
  body        TEXT NOT NULL
);
CREATE INDEX deliveries_fate ON deliveries (fate, number);

CREATE TABLE upgrades (
  id         BIGINT NOT NULL PRIMARY KEY,
  project_id BIGINT NOT NULL,
  project    TEXT NOT NULL,
  tree       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (project_id, tree)
);

-- slot is stack and environment while the run holds them, else NULL; NULLs do not collide.
CREATE TABLE runs (
  id          BIGINT NOT NULL PRIMARY KEY,
  upgrade_id  BIGINT NOT NULL REFERENCES upgrades (id),
  project_id  BIGINT NOT NULL,
  stack       TEXT NOT NULL,
  environment TEXT NOT NULL,
  tree        TEXT NOT NULL,
  commit_name TEXT NOT NULL,
  attempt     BIGINT NOT NULL,
  phase       TEXT NOT NULL,
  slot        TEXT UNIQUE,
  rev         BIGINT NOT NULL,
  event_seq   BIGINT NOT NULL,
  created_at  BIGINT NOT NULL,
  doc         TEXT NOT NULL,
  UNIQUE (upgrade_id, stack, attempt)
);
CREATE INDEX runs_stack ON runs (stack, id);
CREATE INDEX runs_phase ON runs (phase, id);
CREATE INDEX runs_tree ON runs (tree, id);
CREATE INDEX runs_commit ON runs (commit_name, id);

CREATE TABLE answers (
  run_id        BIGINT NOT NULL REFERENCES runs (id),
  n             BIGINT NOT NULL,
  ref           TEXT NOT NULL,
  commit_name   TEXT NOT NULL,
  merge_request BIGINT NOT NULL,
  at            BIGINT NOT NULL,
  PRIMARY KEY (run_id, ref, commit_name, merge_request)
);
CREATE INDEX answers_commit ON answers (commit_name, run_id);

CREATE TABLE results (
  id          BIGINT NOT NULL PRIMARY KEY,
  run_id      BIGINT NOT NULL REFERENCES runs (id),
  gate        TEXT NOT NULL,
  stage       TEXT NOT NULL,
  environment TEXT NOT NULL,
  outcome     TEXT NOT NULL,
  doc         TEXT NOT NULL
);
CREATE INDEX results_run ON results (run_id, id);

CREATE TABLE evidence (
  result_id BIGINT NOT NULL PRIMARY KEY REFERENCES results (id),
  doc       TEXT NOT NULL
);

-- One apply per plan file, ever. seq is the order in which they were begun.
CREATE TABLE applies (
  run_id      BIGINT NOT NULL REFERENCES runs (id),
  n           BIGINT NOT NULL,
  seq         BIGINT NOT NULL UNIQUE,
  stack       TEXT NOT NULL,
  environment TEXT NOT NULL,
  file_digest TEXT NOT NULL UNIQUE,
  state       TEXT NOT NULL,
  doc         TEXT NOT NULL,
  PRIMARY KEY (run_id, n)
);
CREATE INDEX applies_stack ON applies (stack, environment, seq);

CREATE TABLE orders (
  id         BIGINT NOT NULL PRIMARY KEY,
  upgrade_id BIGINT NOT NULL REFERENCES upgrades (id),
  run_id     BIGINT NOT NULL REFERENCES runs (id),
  hold_key   TEXT NOT NULL,
  state      TEXT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE UNIQUE INDEX orders_one ON orders (upgrade_id, hold_key) WHERE state <> 'void';
CREATE INDEX orders_upgrade ON orders (upgrade_id, id);

CREATE TABLE requests (
  id         BIGINT NOT NULL PRIMARY KEY,
  run_id     BIGINT NOT NULL REFERENCES runs (id),
  kind       TEXT NOT NULL,
  asked_at   BIGINT NOT NULL,
  handled_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX requests_open ON requests (run_id, id) WHERE handled_at = 0;

CREATE TABLE posted (
  run_id      BIGINT NOT NULL REFERENCES runs (id),
  commit_name TEXT NOT NULL,
  pipeline    BIGINT NOT NULL,
  state       TEXT NOT NULL,
  text        TEXT NOT NULL,
  at          BIGINT NOT NULL,
  PRIMARY KEY (run_id, commit_name, pipeline)
);

CREATE TABLE refs (
  project_id  BIGINT NOT NULL,
  ref         TEXT NOT NULL,
  tree        TEXT NOT NULL,
  commit_name TEXT NOT NULL,
  rev         BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  PRIMARY KEY (project_id, ref)
);

CREATE TABLE bases (
  stack       TEXT NOT NULL PRIMARY KEY,
  tree        TEXT NOT NULL,
  commit_name TEXT NOT NULL,
  assumed     BIGINT NOT NULL,
  at          BIGINT NOT NULL
);

-- wake_at is world time; queued_at and lease_until are the database's own. owner is empty when nobody
-- holds the job. told is how many of wakes the present holder has heard of.
CREATE TABLE jobs (
  id          TEXT NOT NULL PRIMARY KEY,
  number      BIGINT NOT NULL UNIQUE,
  kind        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  ended       BIGINT NOT NULL,
  wake_at     BIGINT NOT NULL,
  queued_at   BIGINT NOT NULL,
  attempt     BIGINT NOT NULL,
  fence       BIGINT NOT NULL,
  wakes       BIGINT NOT NULL,
  told        BIGINT NOT NULL,
  owner       TEXT NOT NULL,
  lease_until BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (wake_at, queued_at, number) WHERE ended = 0;
CREATE INDEX jobs_owner ON jobs (owner) WHERE owner <> '';

CREATE TABLE events (
  run_id BIGINT NOT NULL REFERENCES runs (id),
  seq    BIGINT NOT NULL,
  id     BIGINT NOT NULL UNIQUE,
  at     BIGINT NOT NULL,
  kind   TEXT NOT NULL,
  who    TEXT NOT NULL,
  text   TEXT NOT NULL,
  data   TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
);
