# METADATA
# description: For people - every candidate rule with the truth of each of its parts. Decides nothing.
package orch.explain

import data.orch.layers
import data.orch.match
import data.orch.request

# METADATA
# description: The candidate rules; parts are true, false or null (unknown).
rules := [row |
	some id in data.orch.rules.candidates
	rule := data.policy.rules[id]
	row := {
		"rule": rule.name,
		"effect": rule.effect,
		"source": rule.source,
		"mode": layers.mode(data.policy.packs[rule.pack]),
		"matches": _matches(id),
		"waived": object.get(data.orch.rules.waived, id, set()) != set(),
		"parts": array.concat(array.concat(_selectors(rule), _conditions(rule)), _files(rule)),
	}
]

_matches(id) if data.orch.rules.hits[id]

else := false

_selectors(rule) := array.concat(
	[_part(rule, name, rules_truth, request.values) |
		some name, globs in rule.globs
		rules_truth := data.orch.rules.glob_truth(name, globs)
	],
	[_part(rule, name, rules_truth, request.names) |
		some name, names in rule.names
		rules_truth := data.orch.rules.name_truth(name, names)
	],
)

_part(rule, name, truth, attributes) := {
	"selector": name,
	"line": object.get(rule.lines, name, 0),
	"truth": truth,
	"seen": object.get(attributes, name, null),
}

_conditions(rule) := [part |
	some condition in rule.when
	part := {
		"selector": concat(" ", ["when", condition.text]),
		"line": condition.line,
		"truth": match.truth(condition, input, data.orch.rules.action),
		"seen": array.slice(match.elements(condition.path, input), 0, 5),
	}
]

_files(rule) := [{
	"selector": "file_globs",
	"line": object.get(rule.lines, "file_globs", 0),
	"truth": _file_truth(found),
	"seen": sprintf("%d of %d files", [count(found), count(request.paths)]),
}] if {
	rule.files
	found := match.paths_like(rule.files, request.paths)
} else := []

_file_truth(found) := null if {
	"files" in request.unknown
	found == set()
} else := found != set()
