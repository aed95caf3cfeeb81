-- Escalations: countdowns with stages, what each stage brought, and the codes that renew them. All of it are projections.
-- Times are nanoseconds since 1970, 0 where there is none; `boot_at` is that of the clock that began with `boot`.
CREATE TABLE escalations (
  name TEXT PRIMARY KEY, cycle INTEGER NOT NULL, run_id TEXT NOT NULL, mode TEXT NOT NULL, is_armed INTEGER NOT NULL,
  stage TEXT NOT NULL, stage_at INTEGER NOT NULL, deadline INTEGER NOT NULL, tick INTEGER NOT NULL, clock INTEGER NOT NULL,
  boot TEXT NOT NULL, boot_at INTEGER NOT NULL, ticker TEXT NOT NULL, ticked_at INTEGER NOT NULL, is_triggered INTEGER NOT NULL,
  counter INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE escalation_orders (
  run_id TEXT NOT NULL, name TEXT NOT NULL, stage TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE escalation_plans (
  run_id TEXT NOT NULL, stage TEXT NOT NULL, plan_run_id TEXT NOT NULL,
  PRIMARY KEY (run_id, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE renewal_codes (
  id TEXT PRIMARY KEY, escalation TEXT NOT NULL, salt TEXT NOT NULL, hash TEXT NOT NULL, seal TEXT NOT NULL, state TEXT NOT NULL,
  created_at INTEGER NOT NULL, used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX renewal_codes_of ON renewal_codes (escalation, state);

CREATE TABLE renewal_attempts (
  escalation TEXT NOT NULL, source TEXT NOT NULL, failures INTEGER NOT NULL, last_at INTEGER NOT NULL, locked_until INTEGER NOT NULL,
  PRIMARY KEY (escalation, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE renewal_counters (
  escalation TEXT NOT NULL, key TEXT NOT NULL, counter INTEGER NOT NULL,
  PRIMARY KEY (escalation, key)
) STRICT, WITHOUT ROWID;
