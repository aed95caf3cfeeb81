package orch_test

import data.orch

_pack := {
	"name": "acme",
	"prefix": "acme",
	"version": "1.0.0",
	"layer": "org",
	"key": "org",
	"default": "deny",
	"enforcement": {"ci": "warn"},
	"globs": {},
	"source": "acme.yaml:1",
	"digest": "sha256:0",
}

_rule(name, effect, more) := object.union(
	{
		"name": concat("/", ["acme", name]),
		"pack": 0,
		"effect": effect,
		"level": "soft",
		"severity": "high",
		"message": name,
		"fix": "",
		"source": "acme.yaml:9",
		"lines": {},
		"globs": {},
		"names": {},
	},
	more,
)

_bucket(rest) := {
	"rest": rest, "repositories": {}, "owners": {}, "tools": {}, "servers": {},
	"by_repository": [], "by_tool": [],
}

_policy(rules) := {
	"digest": "sha256:p",
	"packs": [_pack],
	"pack_index": _bucket([0]),
	"rules": rules,
	"waivers": [],
	"index": {"open_pr": _bucket(numbers.range(0, count(rules) - 1))},
	"actions": {"open_pr": {"has": {"branch": true, "head_branch": true, "files": true}}},
	"stages": ["dev", "staging", "production"],
}

_allow := _rule("allow", "allow", {"is_loose": true})

_deny_secrets := _rule("secrets", "deny", {"files": {"suffixes": [".pem"]}})

_ask(rules, point, facts, paths) := answer if {
	answer := orch.answer[0] with data.policy as _policy(rules) with input as {"batch": [_request(point, facts, paths)]}
}

_request(point, facts, paths) := {
	"subject": {"type": "agent", "id": "agent:fixer"},
	"action": {"name": "open_pr"},
	"resource": {"type": "repository", "id": "acme/web", "properties": {
		"branch": "main",
		"files": [{"path": path} | some path in paths],
	}},
	"context": {},
	"facts": object.union(
		{
			"request_errors": [], "point": point, "time": "2026-01-02T00:00:00Z", "override": null,
			"action_digest": "sha256:a", "change_digest": "sha256:c",
		},
		facts,
	),
}

_outcome(answer) := [answer.outcome, answer.would, answer.reason]

_names(answer) := {finding.rule | some finding in answer.findings}

test_an_allow_allows if _outcome(_ask([_allow], "run", {}, ["a.py"])) == ["allow", "allow", "allowed"]

test_a_deny_on_one_file_denies if {
	answer := _ask([_allow, _deny_secrets], "run", {}, ["a.py", "k.pem"])
	_outcome(answer) == ["deny", "deny", "denied"]
	[finding.paths | some finding in answer.findings; finding.rule == "acme/secrets"] == [["k.pem"]]
}

test_a_warning_pack_blocks_nothing_and_says_so if {
	answer := _ask([_allow, _deny_secrets], "ci", {}, ["k.pem"])
	_outcome(answer) == ["allow", "deny", "warned"]
	{finding.mode | some finding in answer.findings} == {"warn"}
}

test_an_override_beats_the_packs if {
	_outcome(_ask([_deny_secrets], "run", {"override": "warn"}, ["k.pem"])) == ["allow", "deny", "warned"]
	_outcome(_ask([_deny_secrets], "ci", {"override": "enforce"}, ["k.pem"])) == ["deny", "deny", "denied"]
}

test_the_default_judges_the_files_that_no_rule_allows if {
	only_src := _rule("src", "allow", {"is_loose": true, "files": {"prefixes": ["src/"]}})
	_outcome(_ask([only_src], "run", {}, ["src/a.py"])) == ["allow", "allow", "allowed"]
	answer := _ask([only_src], "run", {}, ["src/a.py", "b.py"])
	_outcome(answer) == ["deny", "deny", "denied"]
	[finding.paths | some finding in answer.findings; finding.rule == "acme/default"] == [["b.py"]]
}

test_an_advisory_deny_is_a_finding_only if {
	advisory := _rule("advice", "deny", {"level": "advisory"})
	answer := _ask([_allow, advisory], "run", {}, ["a.py"])
	_outcome(answer) == ["allow", "allow", "allowed"]
	"acme/advice" in _names(answer)
}

_needs_sre := _rule("sre", "require", {"approvals": [{"role": "sre", "count": 1, "bind": "changes", "expires_s": 3600}]})

_vote := {"role": "sre", "by": "user:ann", "at": "2026-01-01T23:30:00Z", "digest": "sha256:c"}

test_a_missing_approval_is_pending if {
	_outcome(_ask([_allow, _needs_sre], "run", {}, ["a.py"])) == ["pending", "pending", "pending"]
}

test_a_valid_vote_is_enough if {
	answer := _ask([_allow, _needs_sre], "run", {"approvals": [_vote]}, ["a.py"])
	answer.outcome == "allow"
	answer.obligations[0].proof == ["user:ann"]
}

test_a_vote_of_somebody_with_a_hand_in_it_or_out_of_time_does_not_count if {
	every wrong in [
		{"by": "agent:fixer"}, {"by": "user:trigger"}, {"by": "user:author"}, {"by": "user:principal"},
		{"role": "lead"}, {"digest": "sha256:other"}, {"at": "2026-01-01T22:59:59Z"}, {"at": "2026-01-02T00:00:01Z"},
		{"at": "yesterday"},
	] {
		facts := {
			"approvals": [object.union(_vote, wrong)],
			"trigger": "user:trigger", "contributors": ["user:author"], "delegation": ["user:principal"],
		}
		_ask([_allow, _needs_sre], "run", facts, ["a.py"]).outcome == "pending"
	}
}

test_a_rejection_stands_whatever_the_count if {
	reject := object.union(_vote, {"by": "user:bob", "decision": "reject"})
	answer := _ask([_allow, _needs_sre], "run", {"approvals": [_vote, reject]}, ["a.py"])
	answer.outcome == "pending"
	[owed.properties.rejected_by | some owed in answer.obligations] == [["user:bob"]]
}

test_what_nobody_rejects_names_nobody if {
	answer := _ask([_allow, _needs_sre], "run", {"approvals": [_vote]}, ["a.py"])
	not answer.obligations[0].properties.rejected_by
}

test_a_report_that_failed_is_named_and_a_pass_outdoes_it if {
	needs := object.union(_needs_sre, {"approvals": [], "evidence": [{"evidence": "tests", "phase": "before"}]})
	failed := {"type": "tests", "result": "fail", "subject": "sha256:c", "digest": "sha256:f"}
	passed := object.union(failed, {"result": "pass", "digest": "sha256:p"})
	[properties |
		some proofs in [[failed], [failed, passed]]
		properties := _ask([_allow, needs], "run", {"evidence": proofs}, ["a.py"]).obligations[0].properties
	] == [{"evidence": "tests", "failed": ["sha256:f"]}, {"evidence": "tests"}]
}

test_one_person_fills_one_slot if {
	both := _rule("both", "require", {"approvals": [
		{"role": "lead", "count": 1, "bind": "changes", "expires_s": 3600},
		{"role": "sre", "count": 1, "bind": "changes", "expires_s": 3600},
	]})
	votes := [_vote, object.union(_vote, {"role": "lead"})]
	answer := _ask([_allow, both], "run", {"approvals": votes}, ["a.py"])
	{owed.id: owed.status | some owed in answer.obligations} == {"approval:lead": "met", "approval:sre": "unmet"}
}

_paid := _rule("paid", "allow", {"is_loose": true, "budgets": [{
	"meter": "usd", "per": "run", "window": null,
	"limit_micro": 5000000, "warn_at_percent": 80,
}]})

_spent(spent, reserved, estimate) := {
	"run": {"id": "r"},
	"budgets": [{"meter": "usd", "per": "run", "spent": spent, "reserved": reserved, "estimate": estimate}],
}

test_a_budget_denies_when_it_is_spent if {
	_outcome(_ask([_paid], "run", _spent(5000000, 0, 0), [])) == ["deny", "deny", "budget_spent"]
	_outcome(_ask([_paid], "run", _spent(4000000, 500000, 500001), [])) == ["deny", "deny", "budget_spent"]
	_outcome(_ask([_paid], "run", _spent(4000000, 500000, 500000), [])) == ["allow", "allow", "allowed"]
}

test_a_budget_warns_at_80_percent if {
	_ask([_paid], "run", _spent(4000000, 0, 0), []).advice == {{"kind": "budget_low", "obligation": "budget:usd:run"}}
	_ask([_paid], "run", _spent(3999999, 0, 0), []).advice == set()
}

test_a_missing_counter_within_a_run_is_undecidable if {
	_outcome(_ask([_paid], "run", {"run": {"id": "r"}}, [])) == ["deny", "deny", "undecidable"]
	_ask([_paid], "run", {}, []).outcome == "allow"
}

test_a_stage_is_later_only_within_its_own_order if {
	staged := _rule("staged", "require", {"stage": "staging"})
	orders := [["dev", "staging", "production"], ["ok", "full"]]
	policy := object.union(_policy([_allow, staged]), {"stages": array.concat(orders[0], orders[1]), "stage_orders": orders})
	every stage, outcome in {"production": "allow", "dev": "pending", "full": "pending"} {
		batch := [_request("run", {"stage": stage}, [])]
		answer := orch.answer[0] with data.policy as policy with input as {"batch": batch}
		answer.outcome == outcome
	}
}

test_a_stage_that_is_reached_is_enough if {
	staged := _rule("staged", "require", {"stage": "staging"})
	_ask([_allow, staged], "run", {"stage": "production"}, []).outcome == "allow"
	_ask([_allow, staged], "run", {"stage": "dev"}, []).outcome == "pending"
	_ask([_allow, staged], "run", {}, []).outcome == "pending"
}

test_a_waiver_lifts_the_files_of_its_scope_until_its_time if {
	waiver := {
		"name": "w", "rules": {"acme/secrets": true}, "globs": {}, "names": {}, "files": {"prefixes": ["test/"]},
		"from_ns": 0, "expires_at_ns": time.parse_rfc3339_ns("2026-01-02T00:00:01Z"),
	}
	policy := object.union(_policy([_allow, _deny_secrets]), {"waivers": [waiver]})
	lifted := orch.answer[0] with data.policy as policy with input as {"batch": [_request("run", {}, ["test/k.pem"])]}
	lifted.outcome == "allow"
	[finding.waived | some finding in lifted.findings; finding.rule == "acme/secrets"] == [true]
	partly := orch.answer[0] with data.policy as policy with input as {"batch": [_request("run", {}, ["test/k.pem", "k.pem"])]}
	partly.outcome == "deny"
	late := orch.answer[0] with data.policy as policy
		with input as {"batch": [_request("run", {"time": "2026-01-02T00:00:01Z"}, ["test/k.pem"])]}
	late.outcome == "deny"
}

test_no_policy_is_a_deny if {
	policy := object.union(_policy([]), {"packs": [], "pack_index": _bucket([]), "index": {}})
	answer := orch.answer[0] with data.policy as policy with input as {"batch": [_request("ci", {"override": "warn"}, [])]}
	_outcome(answer) == ["deny", "deny", "no_policy"]
}

test_an_invalid_request_is_denied_in_every_mode if {
	answer := _ask([_allow], "ci", {"override": "warn", "request_errors": ["no action"]}, [])
	_outcome(answer) == ["deny", "deny", "invalid_request"]
	_names(answer) == {"orch/invalid-request"}
}

test_a_batch_is_answered_in_order if {
	answers := orch.answer with data.policy as _policy([_allow, _deny_secrets])
		with input as {"batch": [_request("run", {}, ["a"]), _request("run", {}, ["k.pem"]), _request("run", {}, ["b"])]}
	[answer.outcome | some answer in answers] == ["allow", "deny", "allow"]
}

test_modules_contribute_findings_and_obligations if {
	pack := object.union(_pack, {"modules": "acme", "module_source": "m.rego:1"})
	policy := object.union(_policy([_allow]), {"packs": [pack]})
	contributed := {
		"findings": {{"id": "odd", "effect": "deny", "message": "odd"}},
		"obligations": {{"type": "evidence", "evidence": "scan"}},
	}
	answer := orch.answer[0] with data.policy as policy with data.packs as {"acme": contributed}
		with input as {"batch": [_request("run", {}, [])]}
	_outcome(answer) == ["deny", "deny", "denied"]
	"acme/odd" in _names(answer)
	answer.obligations[0].id == "evidence:scan"
}

test_the_explanation_names_each_part if {
	rows := orch.explanation[0] with data.policy as _policy([_allow, _deny_secrets])
		with input as {"batch": [_request("run", {}, ["a"])]}
	{row.rule: row.matches | some row in rows} == {"acme/allow": true, "acme/secrets": false}
}

_obliged_by_module(obligation) := answer if {
	pack := object.union(_pack, {"modules": "acme", "module_source": "m.rego:1"})
	policy := object.union(_policy([_allow]), {"packs": [pack]})
	answer := orch.answer[0] with data.policy as policy
		with data.packs as {"acme": {"obligations": {obligation}}}
		with input as {"batch": [_request("run", {}, [])]}
}

test_an_obligation_that_nobody_understands_is_undecidable if {
	every obligation in [
		{"type": "nope"}, {"type": "approval", "rol": "sre"}, {"type": "approval", "role": "sre", "count": "2"},
		{"type": "approval", "role": "sre", "extra": 1}, {"type": "budget", "meter": "usd", "per": "run"},
		{"type": "evidence", "evidence": "x", "phase": "later"}, "approval", {},
	] {
		_outcome(_obliged_by_module(obligation)) == ["deny", "deny", "undecidable"]
	}
	_outcome(_obliged_by_module({"type": "approval", "role": "sre", "count": 2})) == ["pending", "pending", "pending"]
}

test_a_warning_packs_module_holds_nothing_up if {
	pack := object.union(_pack, {"modules": "acme", "module_source": "m.rego:1"})
	policy := object.union(_policy([_allow]), {"packs": [pack]})
	answer := orch.answer[0] with data.policy as policy
		with data.packs as {"acme": {"obligations": {{"type": "approval", "role": "sre"}}}}
		with input as {"batch": [_request("ci", {}, [])]}
	_outcome(answer) == ["allow", "pending", "warned"]
}
