-- Finding runs by what people remember of them. What is there already is filled in when the database is opened:
-- the words of a run are taken from its documents.

-- +goose Up
ALTER TABLE runs ADD COLUMN month BIGINT NOT NULL DEFAULT 0; -- 202611 in UTC; 0: nothing below knows the run yet
CREATE INDEX runs_month ON runs (month, id);
CREATE INDEX runs_stack_phase ON runs (stack, phase, id);

-- One row for each word that a run is known by, in lower case.
CREATE TABLE run_words (
  word   TEXT NOT NULL,
  run_id BIGINT NOT NULL REFERENCES runs (id),
  PRIMARY KEY (word, run_id)
) WITHOUT ROWID;

-- How many runs there are, so that nobody has to count them.
CREATE TABLE run_counts (
  month BIGINT NOT NULL,
  stack TEXT NOT NULL,
  phase TEXT NOT NULL,
  n     BIGINT NOT NULL,
  PRIMARY KEY (month, stack, phase)
) WITHOUT ROWID;
