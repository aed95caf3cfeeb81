package orch.stages_test

import data.orch.stages

_stage(name, at_s, more) := object.union({"name": name, "at_s": at_s, "audience": "operator", "min_dwell_s": 0, "delivered": [], "max_wait_s": null}, more)

_escalation := {
	"catch_up": "walk",
	"grace_s": 600,
	"stages": [
		_stage("ok", null, {}),
		_stage("remind", -3600, {}),
		_stage("warn", -900, {"min_dwell_s": 900}),
		_stage("partial", 60, {"audience": "custodians", "delivered": ["warn/mail"], "max_wait_s": 21600}),
		_stage("full", 7200, {"audience": "public", "delivered": ["partial/letter"]}),
	],
}

_ns(text) := time.parse_rfc3339_ns(text)

_standing(more) := object.union(
	{
		"is_armed": true, "stage": 0, "stage_at_ns": _ns("2026-11-20T05:00:00Z"),
		"deadline_ns": _ns("2026-11-21T05:00:00Z"), "delivered": set(),
	},
	more,
)

_said(more, now) := [said.next, said.target, said.why] if {
	said := stages.advance(_escalation, _standing(more), _ns(now))
}

test_before_its_threshold_nothing_is_due if {
	_said({}, "2026-11-21T03:59:59.999999999Z") == [0, 0, "early"]
	_said({}, "2026-11-21T04:00:00Z") == [1, 1, "due"]
}

test_after_missed_ticks_it_walks if {
	_said({}, "2026-11-21T09:00:00Z") == [1, 4, "due"]
}

test_or_jumps if {
	jumping := object.union(_escalation, {"catch_up": "jump"})
	standing := _standing({"stage": 1, "delivered": {"partial/letter"}})
	stages.advance(jumping, standing, _ns("2026-11-21T09:00:00Z")) == {"next": 4, "target": 4, "why": "due"}
}

test_it_stands_where_it_stands_for_as_long_as_it_must if {
	here := {"stage": 2, "stage_at_ns": _ns("2026-11-21T05:00:00Z"), "delivered": {"warn/mail"}}
	_said(here, "2026-11-21T05:14:59.999999999Z") == [2, 3, "dwell"]
	_said(here, "2026-11-21T05:15:00Z") == [3, 3, "due"]
}

test_a_notice_is_waited_for_and_not_for_ever if {
	here := {"stage": 2, "stage_at_ns": _ns("2026-11-21T04:45:00Z")}
	_said(here, "2026-11-21T05:11:00Z") == [2, 3, "undelivered"]
	_said(here, "2026-11-21T11:10:59.999999999Z") == [2, 4, "undelivered"]
	_said(here, "2026-11-21T11:11:00Z") == [3, 4, "due"]
}

test_without_an_end_a_notice_is_waited_for_for_ever if {
	_said({"stage": 3}, "2036-11-21T05:00:00Z") == [3, 4, "undelivered"]
	_said({"stage": 3, "delivered": {"partial/letter"}}, "2036-11-21T05:00:00Z") == [4, 4, "due"]
}

test_at_the_last_stage_it_stays if _said({"stage": 4}, "2036-11-21T05:00:00Z") == [4, 4, "last"]

test_what_does_not_count_goes_nowhere if {
	_said({"is_armed": false}, "2036-11-21T05:00:00Z") == [0, 0, "disarmed"]
	_said({"deadline_ns": null}, "2036-11-21T05:00:00Z") == [0, 0, "disarmed"]
}

_asked(action, properties, more) := {
	"action": {"name": action, "properties": properties},
	"resource": {"type": "escalation", "id": "continuity"},
	"facts": {
		"time": "2026-11-21T04:00:00Z",
		"escalation": object.union(
			{
				"name": "continuity", "is_armed": true, "stage": "ok", "stage_at": "2026-11-20T05:00:00Z",
				"deadline": "2026-11-21T05:00:00Z", "delivered": [],
			},
			more,
		),
	},
}

_owed(asked) := owed if {
	found := stages.owed with input as asked with data.policy.escalations as {"continuity": _escalation}
	owed := found["stage:continuity"]
}

_objections(asked) := found if {
	found := stages.objections with input as asked with data.policy.escalations as {"continuity": _escalation}
}

test_a_tick_is_told_the_stage if {
	_owed(_asked("tick", {}, {})) == {
		"type": "stage", "phase": "before", "status": "met", "proof": [],
		"properties": {"stage": "remind", "target": "remind", "at": "ok", "why": "due"},
	}
	_objections(_asked("tick", {}, {})) == set()
}

test_a_deadline_that_is_not_there_is_known if _owed(_asked("tick", {}, {"deadline": null})).properties.why == "disarmed"

test_one_stage_is_entered if {
	_owed(_asked("enter_stage", {"stage": "remind", "audience": "operator"}, {})).status == "met"
	_owed(_asked("enter_stage", {"stage": "warn"}, {})).status == "unmet"
	_owed(_asked("enter_stage", {"stage": "ok"}, {})).status == "unmet"
	_owed(_asked("enter_stage", {}, {})).status == "unmet"
}

test_what_is_not_said_well_is_objected_to if {
	_objections(_asked("enter_stage", {"stage": "full", "audience": "operator"}, {})) == {"the stage full is for public, and the request says operator"}
	_objections(_asked("tick", {}, {"name": "other"})) == {"the host says nothing of where the escalation continuity stands"}
	_objections(_asked("tick", {}, {"stage": "gone"})) == {"what the host says of the escalation continuity cannot be understood"}
	_owed(_asked("tick", {}, {"stage": "gone"})).status == "unmet"
}

test_an_escalation_that_nobody_has_is_objected_to if {
	found := stages.objections with input as _asked("tick", {}, {}) with data.policy.escalations as {}
	found == {"the policy knows no escalation continuity"}
}

test_of_other_actions_nothing_is_said if {
	stages.owed == {} with input as _asked("control_escalation", {}, {})
	_objections(_asked("control_escalation", {}, {})) == set()
}
