# METADATA
# description: Globs, conditions and their three truths. True, false and null (unknown); nothing here knows what a rule is for.
package orch.match

# METADATA
# description: Whether a text matches one of the compiled globs.
matches(globs, _) if globs.any

matches(globs, text) if globs.literals[text]

matches(globs, text) if strings.any_prefix_match(text, globs.prefixes)

matches(globs, text) if strings.any_suffix_match(text, globs.suffixes)

matches(globs, text) if regex.match(globs.regex, text)

# METADATA
# description: The paths of a set that match. Each kind of glob asks once about all paths before it asks about each.
paths_like(globs, paths) := paths if globs.any

else := ((_literal(globs, paths) | _with_prefix(globs, paths)) | _with_suffix(globs, paths)) | _like_regex(globs, paths)

_literal(globs, paths) := {path | some path, _ in globs.literals; path in paths}

_with_prefix(globs, paths) := {path |
	strings.any_prefix_match(paths, globs.prefixes)
	some path in paths
	strings.any_prefix_match(path, globs.prefixes)
}

_with_suffix(globs, paths) := {path |
	strings.any_suffix_match(paths, globs.suffixes)
	some path in paths
	strings.any_suffix_match(path, globs.suffixes)
}

_like_regex(globs, paths) := {path |
	pattern := globs.regex
	some path in paths
	regex.match(pattern, path)
}

# METADATA
# description: The truth of one condition, over all elements of its path.
truth(condition, request, action) := exists_only(condition) if {
	is_absent(condition, action)
} else := _over(condition.every, [_element_truth(condition.operators, element, request) |
	some element in elements(condition.path, request)
])

# METADATA
# description: Whether the action, by the catalogue, cannot have what the condition is about.
is_absent(condition, action) if {
	has := action[condition.owner.section]
	not has[condition.owner.name]
}

# METADATA
# description: On what cannot be there, only `exists - false` alone is true.
exists_only(condition) if {
	every operator in condition.operators {
		operator.name == "exists"
		operator.value == false
	}
} else := false

# METADATA
# description: The elements of a path, a missing one being null.
elements(path, request) := [element |
	some value in _steps(path, request)
	some element in _items(value)
]

_steps(path, request) := [_value(request, path[0])] if count(path) == 1

_steps(path, request) := _step([_value(request, path[0])], path[1]) if count(path) == 2

_steps(path, request) := _step(_step([_value(request, path[0])], path[1]), path[2]) if count(path) == 3

_steps(path, _) := [null] if count(path) > 3

_step(lists, names) := [value |
	some list in lists
	some item in _listed(list)
	value := _value(item, names)
]

_listed(list) := list if {
	is_array(list)
	list != []
} else := [null]

_value(item, names) := item if names == []

else := object.get(item, names, null) if is_object(item)

else := null

_items(value) := [null] if value == []

else := [_or_null(item) | some item in value] if is_array(value)

else := [value]

_or_null(item) := null if item == []

else := item

# Every operator of one path must hold of one element.
_element_truth(operators, element, request) := _all({t | some operator in operators; t := _judge(operator, element, request)})

_over(true, truths) := _all({t | some t in truths})

_over(false, truths) := _any({t | some t in truths})

_all(truths) := false if false in truths

else := null if null in truths

else := true

_any(truths) if true in truths

else := null if null in truths

else := false

_judge(operator, element, _) := operator.value == (element != null) if operator.name == "exists"

_judge(operator, element, _) := _negated(operator, _is_in(operator, element)) if operator.name == "in"

_judge(operator, element, _) := _negated(operator, _is_like(operator.globs, element)) if operator.name == "glob"

_judge(operator, element, _) := _negated(operator, _is_like(operator.globs, _host(element))) if operator.name == "host"

_judge(operator, element, _) := _compares(operator, element) if operator.name == "bound"

_judge(operator, element, request) := _negated(operator, _same(element, _single(operator.path, request))) if operator.name == "same_as"

_negated(operator, truth_value) := truth_value if not operator.negated

else := null if truth_value == null

else := truth_value == false

_is_in(operator, element) := element in operator.values if operator.types[type_name(element)]

else := null

_is_like(globs, text) := null if not is_string(text)

else if matches(globs, text)

else := false

_compares(operator, element) := null if not is_number(element)

else := _bound(operator.relation, element, operator.value)

_bound("min", element, limit) := element >= limit

_bound("max", element, limit) := element <= limit

_bound("above", element, limit) := element > limit

_bound("below", element, limit) := element < limit

_same(one, other) := one == other if {
	type_name(one) == type_name(other)
	type_name(one) in {"string", "number", "boolean"}
} else := null

_single(path, request) := _value(request, path[0]) if count(path) == 1

else := null

# The host of an absolute http(s) URL without user info; anything odd has none.
_host(url) := trim_suffix(lower(found[0][1]), ".") if {
	is_string(url)
	found := regex.find_all_string_submatch_n(`^(?i:https?)://([A-Za-z0-9_.-]+)(?::[0-9]*)?(?:[/?#](?s:.*))?$`, url, 1)
	count(found) == 1
} else := null
