-- The twin of the SQLite schema: tables and columns are the same. Text sorts by its bytes, as it does there.
CREATE DOMAIN string AS TEXT COLLATE "C";

-- The record. What is written here is never changed; triggers say so to whoever tries by accident.
CREATE TABLE meta (name string PRIMARY KEY, value string NOT NULL);

CREATE TABLE events (
  n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id string NOT NULL UNIQUE,
  run_id string NOT NULL,
  run_seq BIGINT NOT NULL,
  type string NOT NULL,
  time string NOT NULL,
  actor string NOT NULL,
  subject string NOT NULL,
  repository string NOT NULL,
  action string NOT NULL,
  outcome string NOT NULL,
  would string NOT NULL,
  point string NOT NULL,
  header BYTEA NOT NULL,
  UNIQUE (run_id, run_seq)
);
CREATE INDEX events_of_outcome ON events (type, outcome, would, point);

CREATE TABLE payloads (event_id string PRIMARY KEY, salt BYTEA NOT NULL, body BYTEA NOT NULL);

CREATE TABLE leaves (idx BIGINT PRIMARY KEY, event_id string NOT NULL UNIQUE, hash BYTEA NOT NULL);

-- `frontier` is what the next head is folded on: the roots of the perfect subtrees of this one, largest first.
CREATE TABLE heads (size BIGINT PRIMARY KEY, root BYTEA NOT NULL, note string NOT NULL, signed_at string NOT NULL, frontier BYTEA NOT NULL);

-- Where each chain stands; whoever appends locks its row first.
CREATE TABLE chains (run_id string PRIMARY KEY, next_seq BIGINT NOT NULL, head string NOT NULL);

-- How far the sequencer need not look back: every event up to `floor` has its leaf. Every event up to `candidate` was drawn by a
-- transaction older than `horizon`, so once all of those have ended, `candidate` becomes the next floor.
CREATE TABLE sequencer (one BIGINT PRIMARY KEY CHECK (one = 1), floor BIGINT NOT NULL, candidate BIGINT NOT NULL, horizon BIGINT NOT NULL);
INSERT INTO sequencer (one, floor, candidate, horizon) VALUES (1, 0, 0, 0);

CREATE FUNCTION record_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% are never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE FUNCTION record_lasts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% are never deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE FUNCTION payload_lasts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM erasures WHERE erasures.event_id = OLD.event_id) THEN
    RAISE EXCEPTION 'a payload is deleted only after an event says so' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN OLD;
END $$;

CREATE TRIGGER events_stay BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION record_stays();
CREATE TRIGGER events_last BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION record_lasts();
CREATE TRIGGER events_whole BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION record_lasts();
CREATE TRIGGER leaves_stay BEFORE UPDATE ON leaves FOR EACH ROW EXECUTE FUNCTION record_stays();
CREATE TRIGGER leaves_last BEFORE DELETE ON leaves FOR EACH ROW EXECUTE FUNCTION record_lasts();
CREATE TRIGGER leaves_whole BEFORE TRUNCATE ON leaves FOR EACH STATEMENT EXECUTE FUNCTION record_lasts();
CREATE TRIGGER heads_stay BEFORE UPDATE ON heads FOR EACH ROW EXECUTE FUNCTION record_stays();
CREATE TRIGGER heads_last BEFORE DELETE ON heads FOR EACH ROW EXECUTE FUNCTION record_lasts();
CREATE TRIGGER heads_whole BEFORE TRUNCATE ON heads FOR EACH STATEMENT EXECUTE FUNCTION record_lasts();
CREATE TRIGGER payloads_stay BEFORE UPDATE ON payloads FOR EACH ROW EXECUTE FUNCTION record_stays();
CREATE TRIGGER payloads_last BEFORE DELETE ON payloads FOR EACH ROW EXECUTE FUNCTION payload_lasts();
CREATE TRIGGER payloads_whole BEFORE TRUNCATE ON payloads FOR EACH STATEMENT EXECUTE FUNCTION record_lasts();

-- Projections: made of events, and made again by `orch ledger rebuild`.
CREATE TABLE erasures (event_id string PRIMARY KEY, erased_by string NOT NULL, reason string NOT NULL);

CREATE TABLE organizations (name string PRIMARY KEY);

CREATE TABLE repositories (id string PRIMARY KEY, organization string NOT NULL);

CREATE TABLE policies (digest string PRIMARY KEY);

CREATE TABLE policy_packs (
  policy_digest string NOT NULL, layer string NOT NULL, name string NOT NULL, version string NOT NULL, digest string NOT NULL,
  PRIMARY KEY (policy_digest, layer, name)
);

CREATE TABLE runs (
  id string PRIMARY KEY, kind string NOT NULL, repository string NOT NULL, session string NOT NULL, trigger_name string NOT NULL,
  actor string NOT NULL, config_digest string NOT NULL, started_at string NOT NULL, ended_at string NOT NULL, state string NOT NULL
);

CREATE TABLE requests (
  id string PRIMARY KEY, chain string NOT NULL, request_key string NOT NULL, evaluation_id string NOT NULL, run_id string NOT NULL,
  subject string NOT NULL, action string NOT NULL, repository string NOT NULL, resource string NOT NULL, branch string NOT NULL,
  action_digest string NOT NULL, change_digest string NOT NULL, policy_digest string NOT NULL,
  asks string NOT NULL, summary string NOT NULL, claimed BIGINT NOT NULL,
  opened_at string NOT NULL, state string NOT NULL, consumed_by string NOT NULL
);
CREATE INDEX requests_of_key ON requests (request_key);

CREATE TABLE votes (
  id string PRIMARY KEY, request_id string NOT NULL, voter string NOT NULL, role string NOT NULL, decision string NOT NULL,
  token string NOT NULL, via string NOT NULL, digest string NOT NULL, action_digest string NOT NULL, change_digest string NOT NULL,
  at string NOT NULL, expires_at string NOT NULL, note string NOT NULL, revocation string NOT NULL
);
CREATE INDEX votes_of_request ON votes (request_id);
CREATE INDEX votes_of_action ON votes (action_digest, decision);
CREATE INDEX votes_of_change ON votes (change_digest, decision);

CREATE TABLE artifacts (digest string PRIMARY KEY, size BIGINT NOT NULL, media_type string NOT NULL, name string NOT NULL);

CREATE TABLE evidence (
  event_id string PRIMARY KEY, chain string NOT NULL, seq BIGINT NOT NULL, type string NOT NULL, tool string NOT NULL, result string NOT NULL,
  artifact string NOT NULL, repository string NOT NULL, change_digest string NOT NULL, action_digest string NOT NULL, tree string NOT NULL,
  commit_id string NOT NULL, run_id string NOT NULL, actor string NOT NULL, at string NOT NULL, signed_by string NOT NULL, claimed BIGINT NOT NULL,
  summary string NOT NULL
);
CREATE INDEX evidence_of_change ON evidence (change_digest);
CREATE INDEX evidence_of_action ON evidence (action_digest);
CREATE INDEX evidence_of_tree ON evidence (tree);

CREATE TABLE obligations (
  chain string NOT NULL, action_digest string NOT NULL, obligation string NOT NULL, run_id string NOT NULL, change_digest string NOT NULL,
  type string NOT NULL, phase string NOT NULL, mode string NOT NULL, status string NOT NULL, proof string NOT NULL,
  evaluation_id string NOT NULL, at string NOT NULL,
  PRIMARY KEY (chain, action_digest, obligation)
);
CREATE INDEX obligations_of_run ON obligations (run_id, phase, status);
CREATE INDEX obligations_of_change ON obligations (change_digest);
CREATE INDEX obligations_of_action ON obligations (action_digest);

CREATE TABLE budgets (
  meter string NOT NULL, scope string NOT NULL, scope_id string NOT NULL, time_window string NOT NULL, window_start string NOT NULL,
  spent BIGINT NOT NULL, reserved BIGINT NOT NULL,
  PRIMARY KEY (meter, scope, scope_id, time_window, window_start)
);

CREATE TABLE budget_alerts (
  meter string NOT NULL, scope string NOT NULL, scope_id string NOT NULL, time_window string NOT NULL, window_start string NOT NULL,
  kind string NOT NULL, limit_micro BIGINT NOT NULL,
  PRIMARY KEY (meter, scope, scope_id, time_window, window_start, kind, limit_micro)
);

CREATE TABLE reservations (
  id string PRIMARY KEY, chain string NOT NULL, run_id string NOT NULL, evaluation_id string NOT NULL, actor string NOT NULL, state string NOT NULL,
  opened_at string NOT NULL, expires_at string NOT NULL, closed_at string NOT NULL
);
CREATE INDEX reservations_due ON reservations (state, expires_at);

CREATE TABLE reservation_counters (
  reservation_id string NOT NULL, meter string NOT NULL, scope string NOT NULL, scope_id string NOT NULL, time_window string NOT NULL,
  window_start string NOT NULL, limit_micro BIGINT NOT NULL, warn_at BIGINT NOT NULL, estimate BIGINT NOT NULL, charged BIGINT NOT NULL,
  PRIMARY KEY (reservation_id, meter, scope, scope_id, time_window)
);
CREATE INDEX reservation_counters_of ON reservation_counters (meter, scope, scope_id, time_window, window_start);
