package orch.match_test

import data.orch.match

_globs := {
	"literals": {"Makefile": true},
	"prefixes": ["src/"],
	"suffixes": [".tf"],
	"regex": `^(?s:docs/[^/]*\.md)$`,
}

test_each_kind_of_glob_matches if {
	every path in ["Makefile", "src/a/b.py", "x/y.tf", "docs/a.md"] {
		match.matches(_globs, path)
	}
}

test_what_no_glob_names_does_not_match if {
	every path in ["makefile", "src", "x.tfx", "docs/a/b.md", ""] {
		not match.matches(_globs, path)
	}
}

test_any_matches_everything if match.matches({"any": true}, "whatever")

test_paths_like_agrees_with_matches if {
	paths := {"Makefile", "src/a/b.py", "src", "x/y.tf", "docs/a.md", "docs/a/b.md"}
	match.paths_like(_globs, paths) == {path | some path in paths; match.matches(_globs, path)}
	match.paths_like({"any": true}, paths) == paths
	match.paths_like({}, paths) == set()
}

_request := {"action": {"properties": {
	"amount": 50,
	"text": "50",
	"flag": true,
	"none": null,
	"empty": [],
	"object": {},
	"to": ["ann", "bob"],
	"parts": [{"type": "png"}, {"type": null}, {}],
	"url": "https://Api.Acme.com:8443/x?y",
}}}

_elements(path) := match.elements(path, _request)

test_elements if {
	_elements([["action", "properties", "amount"]]) == [50]
	_elements([["action", "properties", "to"]]) == ["ann", "bob"]
	_elements([["action", "properties", "parts"], ["type"]]) == ["png", null, null]
	_elements([["action", "properties", "object"], ["type"]]) == [null]
	_elements([["action", "properties", "empty"]]) == [null]
	_elements([["action", "properties", "amount", "deeper"]]) == [null]
	_elements([["action", "missing", "deeper"]]) == [null]
}

_truth(name, every_element, operators) := match.truth(
	{
		"path": [["action", "properties", name]],
		"every": every_element,
		"operators": operators,
	},
	_request,
	{},
)

_min(limit) := {"name": "bound", "relation": "min", "value": limit}

test_numbers_only_are_compared if {
	_truth("amount", true, [_min(50)]) == true
	_truth("amount", true, [_min(51)]) == false
	_truth("text", true, [_min(1)]) == null
	_truth("flag", true, [_min(0)]) == null
	_truth("absent", true, [_min(0)]) == null
}

_in(values, types) := {"name": "in", "values": values, "types": {kind: true | some kind in types}}

test_a_type_that_no_value_has_is_unknown if {
	_truth("amount", true, [_in([50], ["number"])]) == true
	_truth("amount", true, [_in(["50"], ["string"])]) == null
	_truth("flag", true, [_in([1], ["number"])]) == null
	_truth("object", true, [_in(["a"], ["string"])]) == null
}

test_a_negated_operator_keeps_the_unknown if {
	_truth("amount", true, [object.union(_in([1], ["number"]), {"negated": true})]) == true
	_truth("none", true, [object.union(_in([1], ["number"]), {"negated": true})]) == null
}

test_an_allow_needs_every_element_and_a_deny_one if {
	_truth("to", true, [_in(["ann"], ["string"])]) == false
	_truth("to", false, [_in(["ann"], ["string"])]) == true
}

test_false_beats_unknown_between_operators if {
	_truth("amount", true, [_min(51), _in(["x"], ["string"])]) == false
	_truth("amount", true, [_min(1), _in(["x"], ["string"])]) == null
}

_exists(wanted) := {"name": "exists", "value": wanted}

test_exists_is_never_unknown if {
	_truth("amount", true, [_exists(true)]) == true
	_truth("none", true, [_exists(true)]) == false
	_truth("empty", true, [_exists(false)]) == true
	_truth("absent", true, [_exists(false)]) == true
}

_host(patterns) := {"name": "host", "globs": {"literals": {pattern: true | some pattern in patterns}}}

test_a_host_is_compared_lower_cased_and_without_port if _truth("url", true, [_host(["api.acme.com"])]) == true

test_an_odd_url_has_no_host if {
	every url in [
		"https://evil.net\\@acme.com", "https://user@acme.com", "acme.com", "ftp://acme.com",
		"https://acme.com\t", "//acme.com", "https://", "https://[::1]/", "https://a\nacme.com",
	] {
		request := {"context": {"url": url}}
		condition := {"path": [["context", "url"]], "every": true, "operators": [_host(["acme.com"])]}
		match.truth(condition, request, {}) == null
	}
}

test_same_as_compares_scalars_of_one_type if {
	same := {"name": "same_as", "path": [["context", "b"]]}
	condition := {"path": [["context", "a"]], "every": true, "operators": [same]}
	match.truth(condition, {"context": {"a": "x", "b": "x"}}, {}) == true
	match.truth(condition, {"context": {"a": "x", "b": "y"}}, {}) == false
	match.truth(condition, {"context": {"a": 1, "b": true}}, {}) == null
	match.truth(condition, {"context": {"a": "x"}}, {}) == null
	match.truth(condition, {"context": {"a": "x", "b": ["x"]}}, {}) == null
}

test_what_an_action_cannot_have_is_known if {
	condition := {
		"path": [["action", "properties", "amount"]],
		"owner": {"section": "arguments", "name": "amount"},
		"every": false,
		"operators": [object.union(_in([1], ["number"]), {"negated": true})],
	}
	match.truth(condition, {}, {"arguments": {"title": true}}) == false
	match.truth(object.union(condition, {"operators": [_exists(false)]}), {}, {"arguments": {}}) == true
	match.truth(condition, {}, {"arguments": {"amount": true}}) == null
	match.truth(condition, {}, {}) == null
}
