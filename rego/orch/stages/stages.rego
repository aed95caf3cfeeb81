# METADATA
# description: Which stage an escalation goes to by the clock, as the fixed library's own obligation for `tick` and `enter_stage`. Says what `orchestrator/escalations/advance.py` says.
package orch.stages

import data.orch.request

_second_ns := 1000000000

# METADATA
# description: The obligation of this request by its id; empty for an action that no clock speaks of.
owed := {concat(":", ["stage", input.resource.id]): {
	"type": "stage",
	"phase": "before",
	"properties": _properties,
	"proof": [],
	"status": _status,
}} if {
	is_by_the_clock
} else := {}

# METADATA
# description: Why this request cannot be judged by the clock, each a text; empty where it can, or need not.
objections contains text if {
	is_by_the_clock
	not _escalation
	text := sprintf("the policy knows no escalation %s", [input.resource.id])
}

objections contains text if {
	is_by_the_clock
	_escalation
	not _said
	text := sprintf("the host says nothing of where the escalation %s stands", [input.resource.id])
}

objections contains text if {
	is_by_the_clock
	_escalation
	_said
	not _advance
	text := sprintf("what the host says of the escalation %s cannot be understood", [input.resource.id])
}

# Packs judge the audience that the request names, so it must be the stage's own.
objections contains text if {
	input.action.name == "enter_stage"
	some stage in _escalation.stages
	stage.name == input.action.properties.stage
	named := object.get(input.action.properties, "audience", stage.audience)
	named != stage.audience
	text := sprintf("the stage %s is for %s, and the request says %v", [stage.name, stage.audience, named])
}

# METADATA
# description: Whether the clock has a say in this request.
is_by_the_clock if input.action.name in {"tick", "enter_stage"}

_escalation := data.policy.escalations[input.resource.id]

_said := input.facts.escalation if input.facts.escalation.name == input.resource.id

_advance := advance(_escalation, _standing(_escalation, _said), request.now_ns)

default _properties := {"stage": null, "target": null, "at": null, "why": "unknown"}

_properties := {
	"stage": _escalation.stages[_advance.next].name,
	"target": _escalation.stages[_advance.target].name,
	"at": _said.stage,
	"why": _advance.why,
}

default _status := "unmet"

_status := "met" if {
	input.action.name == "tick"
	_advance
}

# What stays is not entered anew.
_status := "met" if {
	input.action.name == "enter_stage"
	_advance.why == "due"
	input.action.properties.stage == _properties.stage
}

# Undefined unless every fact has its form; `delivered` is a set, and a deadline that is not there is null.
_standing(escalation, said) := {
	"is_armed": said.is_armed,
	"stage": here,
	"stage_at_ns": time.parse_rfc3339_ns(said.stage_at),
	"deadline_ns": _moment(said.deadline),
	"delivered": {notice | some notice in said.delivered},
} if {
	is_boolean(said.is_armed)
	is_array(said.delivered)
	some here, stage in escalation.stages
	stage.name == said.stage
}

_moment(null) := null

_moment(text) := time.parse_rfc3339_ns(text) if is_string(text)

# METADATA
# description: Where an escalation goes at a moment - `target` and `next` are places among its stages, `why` is a word.
advance(escalation, standing, now_ns) := _stay(standing.stage, "disarmed") if {
	not _counts(standing)
} else := _stay(standing.stage, "last") if {
	standing.stage == count(escalation.stages) - 1
} else := _stay(standing.stage, "early") if {
	_due(escalation, standing, now_ns) == []
} else := {"target": target, "next": _next(why, chosen, standing.stage), "why": why} if {
	target := max(_due(escalation, standing, now_ns))
	chosen := _chosen(escalation.catch_up, target, standing.stage)
	free_ns := standing.stage_at_ns + (escalation.stages[standing.stage].min_dwell_s * _second_ns)
	wanted := escalation.stages[chosen].delivered
	is_array(wanted)
	missing := {notice | some notice in wanted} - standing.delivered
	end_ns := _end_ns(escalation.stages[chosen].max_wait_s, [_due_ns(escalation, chosen, standing.deadline_ns), free_ns])
	why := _why(free_ns, missing, end_ns, now_ns)
}

_stay(here, why) := {"target": here, "next": here, "why": why}

_counts(standing) if {
	standing.is_armed
	standing.deadline_ns != null
}

_due(escalation, standing, now_ns) := [place |
	some place, _ in escalation.stages
	place > standing.stage
	_due_ns(escalation, place, standing.deadline_ns) <= now_ns
]

_due_ns(escalation, place, deadline_ns) := deadline_ns + ((stage.at_s + _grace_s(escalation, stage)) * _second_ns) if {
	stage := escalation.stages[place]
}

_grace_s(escalation, stage) := escalation.grace_s if stage.at_s >= 0

else := 0

_chosen("jump", target, _) := target

_chosen("walk", _, here) := here + 1

_next("due", chosen, _) := chosen

_next(why, _, here) := here if why != "due"

_why(free_ns, missing, end_ns, now_ns) := "dwell" if {
	now_ns < free_ns
} else := "due" if {
	missing == set()
} else := "due" if {
	is_number(end_ns)
	now_ns >= end_ns
} else := "undelivered"

# Until when is waited for notices, from the latest of these moments on; null where that has no end.
_end_ns(null, _) := null

_end_ns(wait_s, moments) := max(moments) + (wait_s * _second_ns) if is_number(wait_s)
