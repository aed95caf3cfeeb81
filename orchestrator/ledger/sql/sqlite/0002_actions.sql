-- Actions that are carried out, and the runs that they belong to. All of it are projections.
CREATE TABLE actions (
  key TEXT PRIMARY KEY, chain TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
  action TEXT NOT NULL, adapter TEXT NOT NULL, effect TEXT NOT NULL, replayable INTEGER NOT NULL,
  asked_digest TEXT NOT NULL, action_digest TEXT NOT NULL, evaluation_id TEXT NOT NULL, reservation_id TEXT NOT NULL,
  request_id TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL, executor TEXT NOT NULL, at TEXT NOT NULL,
  reference TEXT NOT NULL, detail TEXT NOT NULL, error_class TEXT NOT NULL, outputs TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX actions_of_order ON actions (chain, name);
CREATE INDEX actions_of_state ON actions (state, run_id);

ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN plan_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN waiting_for TEXT NOT NULL DEFAULT '[]';
CREATE INDEX runs_of_state ON runs (state, started_at);
CREATE INDEX runs_of_name ON runs (name, started_at);

CREATE TABLE phases (
  run_id TEXT NOT NULL, phase TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL, started_at TEXT NOT NULL,
  ended_at TEXT NOT NULL, error_class TEXT NOT NULL, reason TEXT NOT NULL, criteria TEXT NOT NULL,
  PRIMARY KEY (run_id, phase)
) STRICT, WITHOUT ROWID;
