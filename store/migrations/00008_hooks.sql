-- Subscriptions to events of the journal, and what is on its way to each.

-- +goose Up
INSERT INTO counters (name, value) VALUES ('hook_message', 0);

CREATE TABLE hooks (
  name        TEXT NOT NULL PRIMARY KEY,
  state       TEXT NOT NULL,
  from_file   BIGINT NOT NULL, -- 1: it is in the configuration
  last_event  BIGINT NOT NULL, -- id of the last event that was looked at
  rev         BIGINT NOT NULL,
  doc         TEXT NOT NULL,
  signed_with TEXT NOT NULL    -- the secrets; empty for one of the configuration
);

-- What is sent is made of the event when it is sent.
CREATE TABLE hook_messages (
  id       BIGINT NOT NULL PRIMARY KEY,
  hook     TEXT NOT NULL,
  event_id BIGINT NOT NULL,
  run_id   BIGINT NOT NULL,
  type     TEXT NOT NULL,
  state    TEXT NOT NULL,
  tries    BIGINT NOT NULL,
  made_at  BIGINT NOT NULL,
  next_at  BIGINT NOT NULL,
  tried_at BIGINT NOT NULL,
  answer   TEXT NOT NULL,
  UNIQUE (hook, event_id)
);
CREATE INDEX hook_messages_list ON hook_messages (hook, state, id);
CREATE INDEX hook_messages_pending ON hook_messages (hook, run_id, id) WHERE state = 'pending';
CREATE INDEX hook_messages_made ON hook_messages (made_at) WHERE state <> 'pending';
