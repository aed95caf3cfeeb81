# METADATA
# description: The answer - outcome, would, the reason, and every matching rule's say.
package orch.findings

import data.orch.layers
import data.orch.obligations
import data.orch.request
import data.orch.rules
import data.orch.stages
import data.orch.wayin

# METADATA
# description: The answer to one request. Anything but a clear allow is a deny.
answer := {
	"digest": data.policy.digest,
	"outcome": "deny",
	"would": "deny",
	"reason": "invalid_request",
	"packs": [],
	"findings": [_invalid],
	"obligations": [],
	"advice": [],
} if {
	request.errors != []
} else := {
	"digest": data.policy.digest,
	"outcome": _outcome_of[reason],
	"would": _outcome_of[_reason("would")],
	"reason": _with_warning(reason),
	"packs": _packs,
	"findings": _findings,
	"obligations": [object.union(owed, {"properties": object.remove(owed.properties, ["is_counted"])}) |
		some owed in obligations.listed
	],
	"advice": obligations.advice,
} if {
	reason := _reason(layers.outcome_view)
}

_outcome_of := {
	"allowed": "allow",
	"pending": "pending",
	"budget_spent": "deny",
	"denied": "deny",
	"no_policy": "deny",
	"undecidable": "deny",
}

_reason(view) := "undecidable" if obligations.is_undecidable(view)

else := "denied" if layers.denies(view)

else := "denied" if _of_library != []

else := "no_policy" if layers.without_policy(view) != set()

else := "budget_spent" if obligations.is_spent(view)

else := "pending" if obligations.is_waiting(view)

else := "allowed"

_with_warning("allowed") := "warned" if _reason("would") != "allowed"

else := "allowed"

_with_warning(reason) := reason if reason != "allowed"

_packs := [row |
	some id, _ in layers.applying
	pack := data.policy.packs[id]
	row := {
		"name": pack.prefix,
		"version": pack.version,
		"layer": pack.layer,
		"mode": layers.mode(pack),
		"digest": pack.digest,
	}
]

_findings := array.concat(
	array.concat(
		[_of_rule(id, found, false) | some id, found in rules.standing; found != set()],
		[_of_rule(id, found, true) | some id, found in rules.waived],
	),
	array.concat(
		[_of_default(id, units) | some id, units in layers.denying_by_default_at_all],
		array.concat(
			array.concat(_of_library, _no_policy),
			[_of_module(id, finding) | some [id, finding] in layers.contributed],
		),
	),
)

_of_rule(id, found, is_waived) := object.union(
	{
		"rule": rule.name,
		"effect": rule.effect,
		"level": rule.level,
		"severity": rule.severity,
		"mode": layers.mode(data.policy.packs[rule.pack]),
		"waived": is_waived,
		"message": rule.message,
		"fix": rule.fix,
		"source": rule.source,
		"asks": obligations.asked_by(rule),
	},
	_paths(_shown(rule, found, is_waived)),
) if {
	rule := data.policy.rules[id]
}

_shown(rule, found, _) := found if rule.files

else := found if {
	_is_partly_waived(rule.name)
} else := set()

_is_partly_waived(name) if {
	some id, lifted in rules.waived
	data.policy.rules[id].name == name
	lifted != rules.units
}

_paths(units) := {"paths": array.slice([path | some path in named], 0, request.path_limit), "path_count": count(named)} if {
	named := _named(units)
}

_named(units) := units - {""} if "" in units

else := units

_invalid := object.union(
	_host_finding("orch/invalid-request", "enforce", concat("; ", request.errors)),
	{"fix": "correct the request and ask again"},
)

_no_policy := [object.union_n([
	_host_finding("orch/no-policy", mode, "no organisation pack has an opinion on this request"),
	{"fix": "add an allow rule, or a default, to a pack of the organisation"},
	_paths(_if_only_some(union({layers.without_policy(view) | some view in layers.views}))),
]) |
	some mode in _no_policy_mode
]

_no_policy_mode := ["enforce"] if layers.without_policy(layers.outcome_view) != set()

else := ["warn"] if layers.without_policy("would") != set()

else := []

# What the fixed library itself denies, in every mode.
_of_library := array.concat(
	[object.union(
		_host_finding("orch/way-in", "enforce", message),
		{"fix": "take it out of the text; who may renew knows how"},
	) |
		some message in wayin.objections
	],
	[object.union(
		_host_finding("orch/stage", "enforce", message),
		{"fix": "ask by `orch tick`, with the policy that holds the escalation"},
	) |
		some message in stages.objections
	],
) if {
	_is_of_an_escalation
} else := []

_is_of_an_escalation if stages.is_by_the_clock

_is_of_an_escalation if input.facts.escalation

_host_finding(rule, mode, message) := {
	"rule": rule,
	"effect": "deny",
	"level": "hard",
	"severity": "high",
	"mode": mode,
	"waived": false,
	"message": message,
	"source": "",
	"asks": [],
	"paths": [],
	"path_count": 0,
}

_of_default(id, units) := object.union(
	{
		"rule": concat("/", [pack.prefix, "default"]),
		"effect": "deny",
		"level": "hard",
		"severity": "high",
		"mode": layers.mode(pack),
		"waived": false,
		"message": "no rule of this pack's layer allows it, and the pack denies by default",
		"fix": "",
		"source": pack.source,
		"asks": [],
	},
	_paths(_if_only_some(units)),
) if {
	pack := data.policy.packs[id]
}

_if_only_some(units) := set() if units == rules.units

else := units

_of_module(id, finding) := {
	"rule": concat("/", [pack.prefix, _text(finding, "id", "unnamed")]),
	"effect": _text(finding, "effect", "deny"),
	"level": _text(finding, "level", "hard"),
	"severity": _text(finding, "severity", "high"),
	"mode": layers.mode(pack),
	"waived": false,
	"message": _text(finding, "message", ""),
	"fix": _text(finding, "fix", ""),
	"source": _text(finding, "source", pack.module_source),
	"asks": [],
	"paths": [],
	"path_count": 0,
} if {
	pack := data.policy.packs[id]
}

_text(value, name, fallback) := value[name] if is_string(value[name])

else := fallback
