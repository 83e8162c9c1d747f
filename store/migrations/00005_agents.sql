-- Agents that probe from other places: who is invited, enrolled, revoked. No token, only its digest.

-- +goose Up
CREATE TABLE agents (
  name        TEXT NOT NULL PRIMARY KEY,
  public_key  TEXT NOT NULL, -- base64; empty until it is enrolled
  token       TEXT NOT NULL, -- SHA-256, hexadecimal; empty: none
  token_until BIGINT NOT NULL,
  enrolled_at BIGINT NOT NULL,
  revoked_at  BIGINT NOT NULL,
  heard_at    BIGINT NOT NULL,
  doc         TEXT NOT NULL
);

-- When a stream of probes was asked of an agent for the first time, in real time: a gate that is restarted
-- asks again, and must know since when.
CREATE TABLE agent_streams (
  id       TEXT NOT NULL PRIMARY KEY,
  agent    TEXT NOT NULL,
  begun_at BIGINT NOT NULL
);
