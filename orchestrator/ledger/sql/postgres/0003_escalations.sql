-- Escalations: countdowns with stages, what each stage brought, and the codes that renew them. All of it are projections.
-- Times are nanoseconds since 1970, 0 where there is none; `boot_at` is that of the clock that began with `boot`.
CREATE TABLE escalations (
  name string PRIMARY KEY, cycle BIGINT NOT NULL, run_id string NOT NULL, mode string NOT NULL, is_armed BIGINT NOT NULL,
  stage string NOT NULL, stage_at BIGINT NOT NULL, deadline BIGINT NOT NULL, tick BIGINT NOT NULL, clock BIGINT NOT NULL,
  boot string NOT NULL, boot_at BIGINT NOT NULL, ticker string NOT NULL, ticked_at BIGINT NOT NULL, is_triggered BIGINT NOT NULL,
  counter BIGINT NOT NULL, updated_at BIGINT NOT NULL
);

CREATE TABLE escalation_orders (
  run_id string NOT NULL, name string NOT NULL, stage string NOT NULL, position BIGINT NOT NULL, body string NOT NULL,
  PRIMARY KEY (run_id, name)
);

CREATE TABLE escalation_plans (
  run_id string NOT NULL, stage string NOT NULL, plan_run_id string NOT NULL,
  PRIMARY KEY (run_id, stage)
);

CREATE TABLE renewal_codes (
  id string PRIMARY KEY, escalation string NOT NULL, salt string NOT NULL, hash string NOT NULL, seal string NOT NULL, state string NOT NULL,
  created_at BIGINT NOT NULL, used_at BIGINT NOT NULL
);
CREATE INDEX renewal_codes_of ON renewal_codes (escalation, state);

CREATE TABLE renewal_attempts (
  escalation string NOT NULL, source string NOT NULL, failures BIGINT NOT NULL, last_at BIGINT NOT NULL, locked_until BIGINT NOT NULL,
  PRIMARY KEY (escalation, source)
);

CREATE TABLE renewal_counters (
  escalation string NOT NULL, key string NOT NULL, counter BIGINT NOT NULL,
  PRIMARY KEY (escalation, key)
);
