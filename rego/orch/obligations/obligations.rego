# METADATA
# description: What must hold before, during and after - joined over rules, with its status by the facts.
package orch.obligations

import data.orch.layers
import data.orch.request
import data.orch.rules
import data.orch.stages
import data.orch.votes

_max_expiry_s := 31536000

# METADATA
# description: The joined obligations of a view, by id, with what earlier actions of the run still owe, and what the clock says of an escalation.
of(view) := object.union_n([_asked_for(view), _debts(view), stages.owed]) if {
	stages.is_by_the_clock
} else := object.union(_asked_for(view), _debts(view))

_asked_for(view) := {} if {
	_askers(view) == set()
	_well_formed(view) == set()
} else := _joined(_askers(view), view)

# METADATA
# description: What a decision lists - what enforcing packs ask for, and what warning packs would ask for beyond that.
listed := array.concat(
	[object.union(owed, {"id": id, "mode": "enforce"}) | some id, owed in of(layers.outcome_view)],
	[object.union(owed, {"id": id, "mode": "warn"}) | some id, owed in of("would"); not _is_binding(id, owed)],
)

_is_binding(id, owed) if of(layers.outcome_view)[id] == owed

# METADATA
# description: The ids of the obligations that a rule asks for, sorted.
asked_by(rule) := sort(array.concat(
	array.concat(
		[concat(":", ["approval", one.role]) | some one in rule.approvals],
		[concat(":", ["evidence", one.evidence]) | some one in rule.evidence],
	),
	array.concat(
		[_budget_id([one.meter, one.per, one.window]) | some one in rule.budgets],
		["stage" | rule.stage],
	),
))

_budget_id(key) := concat(":", array.concat(["budget"], [part | some part in key; part != null]))

# METADATA
# description: Whether something that must hold first does not yet, in a view.
is_waiting(view) if {
	some _, owed in of(view)
	owed.phase == "before"
	owed.status == "unmet"
}

# METADATA
# description: Whether a budget is spent, in a view.
is_spent(view) if {
	some _, owed in of(view)
	owed.type == "budget"
	owed.status == "unmet"
	owed.properties.is_counted
}

# METADATA
# description: Whether a counter is missing although there is a run, in a view.
is_undecidable(view) if {
	some [pack, obligation] in layers.owed_by_modules
	pack in layers.objecting(view)
	not _is_well_formed(obligation)
}

is_undecidable(view) if {
	some _, owed in of(view)
	owed.type == "budget"
	owed.status == "unmet"
	not owed.properties.is_counted
}

# METADATA
# description: What is worth saying without being owed.
advice := ({{"kind": "budget_without_run", "obligation": id} |
	some id, owed in of("would")
	owed.type == "budget"
	not _has_run
} | {{"kind": "budget_low", "obligation": id} |
	some id, owed in of("would")
	owed.type == "budget"
	owed.status == "met"
	owed.properties.is_counted
	used := owed.properties.spent_micro + owed.properties.reserved_micro
	used * 100 >= owed.properties.limit_micro * owed.properties.warn_at_percent
}) | {ignored |
	_asks_for_approval
	some ignored in votes.ignored
}

_asks_for_approval if {
	some _, owed in of("would")
	owed.type == "approval"
}

# What was due after earlier actions of this run and is not there yet holds back every other action, wherever a pack objects.
_debts(view) := {} if layers.objecting(view) == set()

else := {concat(":", ["owed", type]): owed |
	some type in {debt.evidence | some debt in _owing}
	owed := {
		"type": "evidence",
		"phase": "before",
		"properties": {"evidence": type, "of": min({debt.of | some debt in _owing; debt.evidence == type})},
		"proof": [],
		"status": "unmet",
	}
}

_owing := [debt | some debt in input.facts.owed; debt.of != request.action_digest]

# The rules that ask for something in a view: requires that stand, and allows and delegates with budgets.
_askers(view) := {id |
	some id, left in rules.standing
	left != set()
	rule := data.policy.rules[id]
	rule.effect == "require"
	rule.level != "advisory"
	rule.pack in layers.objecting(view)
} | {id |
	some id in rules.may_spend
	data.policy.rules[id].pack in layers.objecting(view)
}

_joined(ids, view) := object.union_n([
	_approvals(_asked(ids, "approvals", "approval", view)),
	_evidence(_asked(ids, "evidence", "evidence", view)),
	_budgets(_asked(ids, "budgets", "budget", view)),
	_stages({data.policy.rules[id].stage | some id in ids} | _module_stages(view)),
])

_asked(ids, key, type, view) := {asked | some id in ids; some asked in data.policy.rules[id][key]} | {asked |
	some [_, asked] in _well_formed(view)
	asked.type == type
}

# What a hand-written module asks for must be understood whole, or nothing is decided.
_is_well_formed(obligation) if {
	some forms in [_forms[obligation.type]]
	object.keys(obligation) - object.keys(forms) == set()
	every name, form in forms {
		_has_form(object.get(obligation, name, null), form)
	}
}

_forms := {
	"approval": {"type": "text", "role": "text", "count": "count?", "bind": "bind?", "expires_s": "count?"},
	"evidence": {"type": "text", "evidence": "text", "phase": "phase?"},
	"budget": {
		"type": "text", "meter": "text", "per": "text", "window": "text?",
		"limit_micro": "amount", "warn_at_percent": "amount?",
	},
	"stage": {"type": "text", "stage": "text"},
}

_has_form(value, form) if {
	value == null
	endswith(form, "?")
}

_has_form(value, form) if {
	form in {"text", "text?"}
	is_string(value)
	value != ""
}

_has_form(value, form) if {
	form in {"count?", "amount", "amount?"}
	is_number(value)
	value == round(value)
	value >= _least[form]
}

_has_form(value, "bind?") if value in {"action", "changes"}

_has_form(value, "phase?") if value in {"before", "after"}

_least := {"count?": 1, "amount": 0, "amount?": 0}

_well_formed(view) := {[pack, obligation] |
	some [pack, obligation] in layers.owed_by_modules
	pack in layers.objecting(view)
	_is_well_formed(obligation)
}

_module_stages(view) := {asked.stage |
	some [_, asked] in _well_formed(view)
	asked.type == "stage"
}

_approvals(asked) := {concat(":", ["approval", role]): owed |
	roles := {one.role | some one in asked}
	some role in roles
	of_role := [one | some one in asked; one.role == role]
	count_needed := max([object.get(one, "count", 1) | some one in of_role])
	expires_s := min([object.get(one, "expires_s", 86400) | some one in of_role])
	longest_s := max([object.get(one, "expires_s", 86400) | some one in of_role])
	bind := _strictest({object.get(one, "bind", "changes") | some one in of_role})
	valid := {vote | some vote in votes.counted; vote.role in roles; _is_valid(vote, bind, expires_s)}
	yes := {vote.by | some vote in valid; _says(vote, role, roles)}
	no := _rejecting(role, longest_s)
	terms := {"role": role, "count": count_needed, "bind": bind, "expires_s": expires_s, "votes": count(yes)}
	owed := {
		"type": "approval",
		"phase": "before",
		"properties": object.union(terms, _named({"rejected_by": no})),
		"proof": [by | some by in yes],
		"status": _status(_is_approved(yes, count_needed, no)),
	}
}

# What nobody did is not mentioned.
_named(people) := {said: [name | some name in names] | some said, names in people; names != set()}

_strictest(binds) := "action" if binds != {"changes"}

else := "changes"

_is_valid(vote, bind, expires_s) if {
	not vote.by in votes.involved
	vote.digest == _digest(bind)
	at := time.parse_rfc3339_ns(vote.at)
	at <= request.now_ns
	request.now_ns < at + (min([expires_s, _max_expiry_s]) * 1000000000)
}

_digest("action") := request.action_digest

_digest("changes") := request.bound_digest

# One person fills one slot: the alphabetically first of the roles asked for that the person voted for.
_says(vote, role, roles) if {
	object.get(vote, "decision", "approve") == "approve"
	role == min({other.role | some other in votes.counted; other.by == vote.by; other.role in roles})
	vote.role == role
}

_is_approved(yes, count_needed, no) if {
	count(yes) >= count_needed
	no == set()
} else := false

# A rejection lasts as long as the longest expiry asked for and binds by either digest: who asks for more cannot outdate it.
_rejecting(role, longest_s) := {vote.by |
	some vote in votes.counted
	vote.role == role
	vote.decision == "reject"
	some bind in ["action", "changes"]
	_is_valid(vote, bind, longest_s)
}

_evidence(asked) := {concat(":", ["evidence", type]): owed |
	some type in {one.evidence | some one in asked}
	proof := _reports(type, "pass")
	failed := {digest | some digest in _reports(type, "fail"); digest != ""; proof == set()}
	owed := {
		"type": "evidence",
		"phase": _phase({object.get(one, "phase", "before") | some one in asked; one.evidence == type}),
		"properties": object.union({"evidence": type}, _named({"failed": failed})),
		"proof": [digest | some digest in proof; digest != ""],
		"status": _status(proof != set()),
	}
}

_reports(type, result) := {object.get(one, "digest", "") |
	some one in _proofs
	one.type == type
	one.result == result
	one.subject == request.bound_digest
}

_phase(phases) := "after" if phases == {"after"}

else := "before"

_stages(asked) := {} if asked == set()

else := {"stage": {
	"type": "stage",
	"phase": "before",
	"properties": {"stage": latest, "at": request.stage},
	"proof": [],
	"status": _status(_stands_at_all(asked)),
}} if {
	latest := _latest(asked)
}

# A stage that nobody declared comes after every other, and is never reached.
_latest(asked) := min(asked - _declared) if asked - _declared != set()

else := [stage | some stage in data.policy.stages; stage in asked][count(asked) - 1]

_declared := {stage | some stage in data.policy.stages}

_stands_at_all(asked) if {
	every stage in asked {
		_stands_at(stage)
	}
} else := false

# Later says something only within one order: a stage of an escalation is not later than one of a pack's own list.
_stands_at(wanted) if {
	some order in _orders
	_place_in(order, request.stage) >= _place_in(order, wanted)
}

_orders := data.policy.stage_orders if data.policy.stage_orders

else := [data.policy.stages]

_place_in(order, stage) := place if {
	some place, other in order
	other == stage
}

_budgets(asked) := {id: owed |
	keys := {[one.meter, one.per, object.get(one, "window", null)] | some one in asked}
	some key in keys
	same := [one | some one in asked; [one.meter, one.per, object.get(one, "window", null)] == key]
	limit := min([one.limit_micro | some one in same])
	warn_at := min([object.get(one, "warn_at_percent", 80) | some one in same])
	id := _budget_id(key)
	known := _counted(key)
	properties := object.union(
		{
			"meter": key[0], "per": key[1], "window": key[2],
			"limit_micro": limit, "warn_at_percent": warn_at, "is_counted": known != {},
		},
		{name: known[name] | some name in ["spent_micro", "reserved_micro"]},
	)
	owed := {
		"type": "budget",
		"phase": "during",
		"properties": properties,
		"proof": [],
		"status": _status(_room(limit, known)),
	}
}

_has_run if is_object(input.facts.run)

# Several counters of one key are read as the fullest of them.
_counted(key) := {
	"spent_micro": max([one.spent | some one in found]),
	"reserved_micro": max([one.reserved | some one in found]),
	"estimate_micro": max([one.estimate | some one in found]),
} if {
	_has_run
	found := [counter |
		some one in _counters
		[one.meter, one.per, object.get(one, "window", null)] == key
		counter := {name: object.get(one, name, 0) | some name in ["spent", "reserved", "estimate"]}
		is_number(one.spent)
		every _, amount in counter {
			is_number(amount)
		}
	]
	found != []
} else := {}

_room(limit, known) if _has_room(limit, known)

else := false

_has_room(_, _) if not _has_run

_has_room(limit, known) if {
	known != {}
	known.spent_micro < limit
	(known.spent_micro + known.reserved_micro) + known.estimate_micro <= limit
}

_proofs := [one | some one in input.facts.evidence]

_counters := [one | some one in input.facts.budgets]

_status(true) := "met"

_status(false) := "unmet"
