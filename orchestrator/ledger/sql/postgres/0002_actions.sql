-- Actions that are carried out, and the runs that they belong to. All of it are projections.
CREATE TABLE actions (
  key string PRIMARY KEY, chain string NOT NULL, run_id string NOT NULL, name string NOT NULL, target string NOT NULL,
  action string NOT NULL, adapter string NOT NULL, effect string NOT NULL, replayable BIGINT NOT NULL,
  asked_digest string NOT NULL, action_digest string NOT NULL, evaluation_id string NOT NULL, reservation_id string NOT NULL,
  request_id string NOT NULL, state string NOT NULL, attempt BIGINT NOT NULL, executor string NOT NULL, at string NOT NULL,
  reference string NOT NULL, detail string NOT NULL, error_class string NOT NULL, outputs string NOT NULL
);
CREATE INDEX actions_of_order ON actions (chain, name);
CREATE INDEX actions_of_state ON actions (state, run_id);

ALTER TABLE runs ADD COLUMN name string NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN mode string NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN plan_digest string NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN segment BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN waiting_for string NOT NULL DEFAULT '[]';
CREATE INDEX runs_of_state ON runs (state, started_at);
CREATE INDEX runs_of_name ON runs (name, started_at);

CREATE TABLE phases (
  run_id string NOT NULL, phase string NOT NULL, state string NOT NULL, attempt BIGINT NOT NULL, started_at string NOT NULL,
  ended_at string NOT NULL, error_class string NOT NULL, reason string NOT NULL, criteria string NOT NULL,
  PRIMARY KEY (run_id, phase)
);
