-- What a wrong yes is kept away by: the order of applies and where staging was brought to a base, why a
-- ref's content is not tested, claimed orders, what a gate keeps for itself, production's questions.

-- +goose Up
ALTER TABLE refs ADD COLUMN why TEXT NOT NULL DEFAULT '';

ALTER TABLE bases ADD COLUMN since_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bases ADD COLUMN set_by TEXT NOT NULL DEFAULT '';
ALTER TABLE bases ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE bases ADD COLUMN rev BIGINT NOT NULL DEFAULT 1;

ALTER TABLE evidence ADD COLUMN memo TEXT NOT NULL DEFAULT '';

-- While an order of its upgrade is claimed, no apply begins on a stack.
CREATE INDEX orders_claimed ON orders (upgrade_id) WHERE state = 'claimed';
CREATE INDEX runs_upgrade ON runs (upgrade_id, id);

INSERT INTO counters (name, value) VALUES ('verification', 0);

-- token is issuer and jti: an ID token is good for one question.
CREATE TABLE verifications (
  number     BIGINT NOT NULL PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  token      TEXT NOT NULL UNIQUE,
  project_id BIGINT NOT NULL,
  state      TEXT NOT NULL,
  rev        BIGINT NOT NULL,
  asked_at   BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX verifications_waiting ON verifications (project_id, number) WHERE state = 'waiting';
