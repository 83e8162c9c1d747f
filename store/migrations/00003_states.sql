-- What is in Terraform states: the newest reading of each, and what it owns. No value of an attribute but
-- what identifies the thing.

-- +goose Up
CREATE TABLE readings (
  state       TEXT NOT NULL PRIMARY KEY,
  stack       TEXT NOT NULL,
  environment TEXT NOT NULL,
  account     TEXT NOT NULL,
  region      TEXT NOT NULL,
  read_at     BIGINT NOT NULL, -- of what is kept
  tried_at    BIGINT NOT NULL,
  problem     TEXT NOT NULL,
  lineage     TEXT NOT NULL,
  serial      BIGINT NOT NULL,
  objects     BIGINT NOT NULL
);

-- The primary key finds the owners of a thing, the index what one state owns.
CREATE TABLE owned (
  type    TEXT NOT NULL,
  key     TEXT NOT NULL,
  state   TEXT NOT NULL REFERENCES readings (state),
  address TEXT NOT NULL,
  account TEXT NOT NULL,
  region  TEXT NOT NULL,
  PRIMARY KEY (type, key, state, address)
);
CREATE INDEX owned_state ON owned (state);
