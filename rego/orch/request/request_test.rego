package orch.request_test

import data.orch.request

_policy := {"actions": {
	"open_pr": {"has": {"branch": true, "head_branch": true, "files": true}},
	"comment": {"has": {}},
	"call_tool": {"has": {}},
}}

_input(action, resource, facts) := {
	"subject": {"type": "agent", "id": "fixer"},
	"action": {"name": action},
	"resource": resource,
	"context": {},
	"facts": facts,
}

_pr(properties) := _input("open_pr", {"type": "repository", "id": "Acme/Web", "properties": properties}, {})

test_a_request_that_nobody_checked_is_invalid if count(request.errors) > 0 with input as _pr({})

test_a_name_begins_with_its_type_once if {
	request.subject == "agent:fixer" with input as _pr({})
	request.subject == "agent:fixer" with input as object.union(_pr({}), {"subject": {"id": "agent:fixer"}})
}

test_a_repository_is_lower_cased if request.repository == "acme/web" with input as _pr({})

test_an_attribute_that_can_be_there_and_is_not_is_unknown if {
	request.unknown == {"branches", "head_branches", "files", "roles", "stages"} with input as _pr({})
		with data.policy as _policy
}

test_an_attribute_that_cannot_be_there_is_known if {
	unknown := request.unknown with input as _input("comment", {"type": "repository", "id": "a/b"}, {})
		with data.policy as _policy
	unknown == {"roles", "stages"}
}

test_an_empty_list_of_files_is_known if {
	unknown := request.unknown with input as _pr({"files": []}) with data.policy as _policy
	not "files" in unknown
}

test_a_tool_call_takes_its_repository_from_the_facts if {
	tool := {"type": "tool", "id": "bank:pay"}
	request.repository == "acme/web" with input as _input("call_tool", tool, {"repository": "Acme/Web"})
	"repositories" in request.unknown with input as _input("call_tool", tool, {}) with data.policy as _policy
	values := request.values with input as _input("call_tool", tool, {"repository": "none"}) with data.policy as _policy
	not values.repositories
}

test_no_roles_named_is_none_and_known if {
	unknown := request.unknown with input as _input("comment", {"type": "repository", "id": "a/b"}, {"subject": {"roles": []}})
		with data.policy as _policy
	not "roles" in unknown
}

test_a_declared_action_can_have_everything if {
	unknown := request.unknown with input as _input("rotate_key", {"type": "key", "id": "k"}, {}) with data.policy as _policy
	{"branches", "files", "tools", "repositories"} - unknown == set()
}
