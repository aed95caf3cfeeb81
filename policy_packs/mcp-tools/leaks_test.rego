package packs["mcp-tools_test"]

import data.packs["mcp-tools"] as leaks

_call(arguments) := {
	"subject": {"type": "agent", "id": "agent:tester"},
	"action": {"name": "call_tool", "properties": arguments},
	"resource": {"type": "tool", "id": "docs:search"},
	"context": {},
	"facts": {},
}

test_a_key_deep_inside_is_found if {
	found := leaks.findings with input as _call({"body": {"parts": [{"text": "x -----BEGIN RSA PRIVATE KEY----- y"}]}})
	{finding.id | some finding in found} == {"no-leaks"}
}

test_the_message_does_not_repeat_it if {
	token := concat("_", ["ghp", "0123456789abcdefghijklmnopqrstuvwxyzAB"])
	found := leaks.findings with input as _call({"q": token})
	count(found) == 1
	every finding in found {
		not contains(finding.message, token)
	}
}

test_prose_about_keys_is_fine if {
	found := leaks.findings with input as _call({"q": "how do I make a private key?", "limit": 3, "deep": [null, true]})
	found == set()
}

test_other_actions_are_not_looked_at if {
	asked := _call({"body": "-----BEGIN PRIVATE KEY-----"})
	found := leaks.findings with input as object.union(asked, {"action": {"name": "comment"}})
	found == set()
}
