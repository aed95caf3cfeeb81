-- The record. What is written here is never changed; triggers say so to whoever tries by accident.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL,
  run_seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  time TEXT NOT NULL,
  actor TEXT NOT NULL,
  subject TEXT NOT NULL,
  repository TEXT NOT NULL,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL,
  would TEXT NOT NULL,
  point TEXT NOT NULL,
  header BLOB NOT NULL,
  UNIQUE (run_id, run_seq)
) STRICT;
CREATE INDEX events_of_outcome ON events (type, outcome, would, point);

CREATE TABLE payloads (event_id TEXT PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT;

CREATE TABLE leaves (idx INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, hash BLOB NOT NULL) STRICT;

-- `frontier` is what the next head is folded on: the roots of the perfect subtrees of this one, largest first.
CREATE TABLE heads (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL, signed_at TEXT NOT NULL, frontier BLOB NOT NULL) STRICT;

-- Where each chain stands; whoever appends locks its row first.
CREATE TABLE chains (run_id TEXT PRIMARY KEY, next_seq INTEGER NOT NULL, head TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_last BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'events are never deleted'); END;
CREATE TRIGGER leaves_stay BEFORE UPDATE ON leaves BEGIN SELECT raise(ABORT, 'leaves are never changed'); END;
CREATE TRIGGER leaves_last BEFORE DELETE ON leaves BEGIN SELECT raise(ABORT, 'leaves are never deleted'); END;
CREATE TRIGGER heads_stay BEFORE UPDATE ON heads BEGIN SELECT raise(ABORT, 'heads are never changed'); END;
CREATE TRIGGER heads_last BEFORE DELETE ON heads BEGIN SELECT raise(ABORT, 'heads are never deleted'); END;
CREATE TRIGGER payloads_stay BEFORE UPDATE ON payloads BEGIN SELECT raise(ABORT, 'payloads are never changed'); END;
CREATE TRIGGER payloads_last BEFORE DELETE ON payloads
WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE erasures.event_id = OLD.event_id)
BEGIN SELECT raise(ABORT, 'a payload is deleted only after an event says so'); END;

-- Projections: made of events, and made again by `orch ledger rebuild`.
CREATE TABLE erasures (event_id TEXT PRIMARY KEY, erased_by TEXT NOT NULL, reason TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE repositories (id TEXT PRIMARY KEY, organization TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE policies (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE policy_packs (
  policy_digest TEXT NOT NULL, layer TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (policy_digest, layer, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, repository TEXT NOT NULL, session TEXT NOT NULL, trigger_name TEXT NOT NULL,
  actor TEXT NOT NULL, config_digest TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT NOT NULL, state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
  id TEXT PRIMARY KEY, chain TEXT NOT NULL, request_key TEXT NOT NULL, evaluation_id TEXT NOT NULL, run_id TEXT NOT NULL,
  subject TEXT NOT NULL, action TEXT NOT NULL, repository TEXT NOT NULL, resource TEXT NOT NULL, branch TEXT NOT NULL,
  action_digest TEXT NOT NULL, change_digest TEXT NOT NULL, policy_digest TEXT NOT NULL,
  asks TEXT NOT NULL, summary TEXT NOT NULL, claimed INTEGER NOT NULL,
  opened_at TEXT NOT NULL, state TEXT NOT NULL, consumed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_of_key ON requests (request_key);

CREATE TABLE votes (
  id TEXT PRIMARY KEY, request_id TEXT NOT NULL, voter TEXT NOT NULL, role TEXT NOT NULL, decision TEXT NOT NULL,
  token TEXT NOT NULL, via TEXT NOT NULL, digest TEXT NOT NULL, action_digest TEXT NOT NULL, change_digest TEXT NOT NULL,
  at TEXT NOT NULL, expires_at TEXT NOT NULL, note TEXT NOT NULL, revocation TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX votes_of_request ON votes (request_id);
CREATE INDEX votes_of_action ON votes (action_digest, decision);
CREATE INDEX votes_of_change ON votes (change_digest, decision);

CREATE TABLE artifacts (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT NOT NULL, name TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
  event_id TEXT PRIMARY KEY, chain TEXT NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, tool TEXT NOT NULL, result TEXT NOT NULL,
  artifact TEXT NOT NULL, repository TEXT NOT NULL, change_digest TEXT NOT NULL, action_digest TEXT NOT NULL, tree TEXT NOT NULL,
  commit_id TEXT NOT NULL, run_id TEXT NOT NULL, actor TEXT NOT NULL, at TEXT NOT NULL, signed_by TEXT NOT NULL, claimed INTEGER NOT NULL,
  summary TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_of_change ON evidence (change_digest);
CREATE INDEX evidence_of_action ON evidence (action_digest);
CREATE INDEX evidence_of_tree ON evidence (tree);

CREATE TABLE obligations (
  chain TEXT NOT NULL, action_digest TEXT NOT NULL, obligation TEXT NOT NULL, run_id TEXT NOT NULL, change_digest TEXT NOT NULL,
  type TEXT NOT NULL, phase TEXT NOT NULL, mode TEXT NOT NULL, status TEXT NOT NULL, proof TEXT NOT NULL,
  evaluation_id TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (chain, action_digest, obligation)
) STRICT, WITHOUT ROWID;
CREATE INDEX obligations_of_run ON obligations (run_id, phase, status);
CREATE INDEX obligations_of_change ON obligations (change_digest);
CREATE INDEX obligations_of_action ON obligations (action_digest);

CREATE TABLE budgets (
  meter TEXT NOT NULL, scope TEXT NOT NULL, scope_id TEXT NOT NULL, time_window TEXT NOT NULL, window_start TEXT NOT NULL,
  spent INTEGER NOT NULL, reserved INTEGER NOT NULL,
  PRIMARY KEY (meter, scope, scope_id, time_window, window_start)
) STRICT, WITHOUT ROWID;

CREATE TABLE budget_alerts (
  meter TEXT NOT NULL, scope TEXT NOT NULL, scope_id TEXT NOT NULL, time_window TEXT NOT NULL, window_start TEXT NOT NULL,
  kind TEXT NOT NULL, limit_micro INTEGER NOT NULL,
  PRIMARY KEY (meter, scope, scope_id, time_window, window_start, kind, limit_micro)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations (
  id TEXT PRIMARY KEY, chain TEXT NOT NULL, run_id TEXT NOT NULL, evaluation_id TEXT NOT NULL, actor TEXT NOT NULL, state TEXT NOT NULL,
  opened_at TEXT NOT NULL, expires_at TEXT NOT NULL, closed_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_due ON reservations (state, expires_at);

CREATE TABLE reservation_counters (
  reservation_id TEXT NOT NULL, meter TEXT NOT NULL, scope TEXT NOT NULL, scope_id TEXT NOT NULL, time_window TEXT NOT NULL,
  window_start TEXT NOT NULL, limit_micro INTEGER NOT NULL, warn_at INTEGER NOT NULL, estimate INTEGER NOT NULL, charged INTEGER NOT NULL,
  PRIMARY KEY (reservation_id, meter, scope, scope_id, time_window)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_counters_of ON reservation_counters (meter, scope, scope_id, time_window, window_start);
