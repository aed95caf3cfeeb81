# METADATA
# description: Which rules match, and which files each one hits. A deny or require matches if no part is false, an allow or delegate if all are true.
package orch.rules

import data.orch.match
import data.orch.request

_buckets := [data.policy.index[key] | some key in [input.action.name, "*"]]

# METADATA
# description: The rules that the index leaves for this request, by number.
candidates := {id | some bucket in _buckets; some ids in found_in(bucket); some id in ids}

# METADATA
# description: The lists of a bucket of the index that may be about this request.
found_in(bucket) := array.concat(
	[bucket.rest],
	array.concat([ids | some table, key in _keys; ids := bucket[table][key]], [bucket[name] | some name in _unsorted]),
)

_keys := object.union(_repository_keys, _tool_keys)

default _repository_keys := {}

_repository_keys := {"repositories": name, "owners": split(name, "/")[0]} if name := request.values.repositories

default _tool_keys := {}

_tool_keys := {"tools": name, "servers": split(name, ":")[0]} if name := request.values.tools

# What cannot be looked up, because nobody knows the key, is walked through.
_unsorted := [list |
	some name, list in {"repositories": "by_repository", "tools": "by_tool"}
	name in request.unknown
]

# METADATA
# description: The truths of a rule's or waiver's plain selectors.
selector_truths(rule) := {t | some name, globs in rule.globs; t := glob_truth(name, globs)} | {t |
	some name, names in rule.names
	t := name_truth(name, names)
}

# METADATA
# description: The truth of one glob selector.
glob_truth(name, globs) := null if name in request.unknown

else if match.matches(globs, request.values[name])

else := false

# METADATA
# description: The truth of one selector of plain names.
name_truth(name, names) := null if name in request.unknown

else if {
	some value in request.names[name]
	names[value]
}

else := false

# METADATA
# description: Candidate rules of which no part is false, files aside, each with whether every part is true.
live := {id: is_sure |
	some id in candidates
	rule := data.policy.rules[id]
	not _is_out(rule)
	is_sure := _is_sure(rule)
}

_is_out(rule) if {
	some name, globs in rule.globs
	not _could_match(name, globs)
}

_is_out(rule) if {
	some name, names in rule.names
	not _could_be_named(name, names)
}

_is_out(rule) if {
	some condition in rule.when
	match.truth(condition, input, action) == false
}

_could_match(name, _) if name in request.unknown

_could_match(name, globs) if match.matches(globs, request.values[name])

_could_be_named(name, _) if name in request.unknown

_could_be_named(name, names) if {
	some value in request.names[name]
	names[value]
}

_is_sure(rule) if not _is_unsure(rule)

else := false

_is_unsure(rule) if rule.is_unsure

_is_unsure(rule) if {
	some name, _ in object.union(rule.globs, rule.names)
	name in request.unknown
}

_is_unsure(rule) if {
	some condition in rule.when
	match.truth(condition, input, action) == null
}

default action := {}

# METADATA
# description: What the catalogue says of the action; empty for a declared action.
action := request.catalogued

# METADATA
# description: What is judged one by one - each path where some rule or waiver asks about files, else the request once.
units := request.paths if {
	request.paths != set()
	_asks_files
} else := {""}

_asks_files if {
	some id, _ in live
	data.policy.rules[id].files
}

_asks_files if {
	some waiver in waivers_in_force
	waiver.files
}

# METADATA
# description: Rule number to the units it hits; only rules that match.
hits := {id: found |
	some id, is_sure in live
	rule := data.policy.rules[id]
	_may_count(rule, is_sure)
	found := _found(rule)
	found != set()
}

# METADATA
# description: The allows and delegates that bring budgets and of which no part is false.
may_spend := {id |
	some id, _ in live
	rule := data.policy.rules[id]
	rule.is_loose
	rule.budgets
	_reaches_some_file(rule)
}

_may_count(rule, _) if not rule.is_loose

_may_count(_, true)

_found(rule) := units if not rule.files

else := match.paths_like(rule.files, request.paths) if request.paths != set()

else := units if {
	"files" in request.unknown
	not rule.is_loose
}

else := set()

_reaches_some_file(rule) if not rule.files

_reaches_some_file(_) if "files" in request.unknown

_reaches_some_file(rule) if match.paths_like(rule.files, request.paths) != set()

# METADATA
# description: The units of a matching rule that no waiver lifts.
standing := {id: left |
	some id, found in hits
	left := _left(found, object.get(_waived, id, set()))
}

# METADATA
# description: Rule number to the units that waivers lift; only where there are some.
waived := {id: lifted |
	some id, by_waiver in _waived
	lifted := hits[id] & by_waiver
	lifted != set()
}

_left(found, lifted) := found if lifted == set()

else := found - lifted

_waived := {id: union(lifts) |
	data.policy.waivers != []
	some id, _ in hits
	rule := data.policy.rules[id]
	rule.level == "soft"
	lifts := {lifted |
		some waiver in waivers_in_force
		waiver.rules[rule.name]
		lifted := _lifted(waiver)
	}
	lifts != set()
}

# METADATA
# description: The waivers whose time and scope fit this request, files aside.
waivers_in_force := [waiver |
	some waiver in data.policy.waivers
	waiver.from_ns <= request.now_ns
	request.now_ns < waiver.expires_at_ns
	_names_action(waiver)
	truths := selector_truths(waiver)
	not false in truths
	not null in truths
]

_names_action(waiver) if not waiver.actions

_names_action(waiver) if waiver.actions["*"]

_names_action(waiver) if waiver.actions[input.action.name]

_lifted(waiver) := units if not waiver.files

else := match.paths_like(waiver.files, request.paths)
