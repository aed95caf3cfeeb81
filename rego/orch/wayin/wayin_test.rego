package orch.wayin_test

import data.orch.wayin

_asked(properties, known) := {
	"action": {"name": "send_message", "properties": properties},
	"resource": {"type": "channel", "id": "mail"},
	"facts": {"escalation": object.union({"name": "continuity", "audience": "operator", "of_stage": "remind", "texts": []}, known)},
}

_arguments := {"send_message": {"arguments": {name: true |
	some name in ["channel", "to", "subject", "body", "template", "attachments", "path"]
}}}

_policy := {
	"actions": _arguments,
	"escalations": {"continuity": {"stages": [{"name": "ok", "audience": "operator"}, {"name": "remind", "audience": "operator"}]}},
}

_found(asked) := found if found := wayin.found with input as asked with data.policy as _policy

_kinds(text) := {kind | some [kind, _] in _found(_asked({"body": text}, {}))}

test_what_leads_somewhere_is_found if {
	every text, kind in {
		"see https://acme.example/x": "a URL", "see www.acme.net": "a URL", "go //intranet/x": "a URL",
		"on gateway:8443/renew": "a URL", "localhost": "a URL", "tel:123": "a URL", "data:text/html,x": "a URL",
		"write ann@acme": "a mail address", "10.0.0.7": "an IP address", "see 2001:db8::1 now": "an IP address",
		"see acme.example": "a domain name", "xn--80ak6aa92e.x": "a domain name", "acme。com": "a domain name",
		"renew.acme.anything": "a domain name", "acme.anything/renew": "a domain name", "сайт.рф": "a domain name",
	} {
		kind in _kinds(text)
	}
}

test_what_opens_something_is_found if {
	every text in [
		"K7QF-9MZX-2ABC-D3EF", "K7QF 9MZX 2ABC D3EF", "abcd-efgh-jkmn-pqrs", "one1-word-then-more-here", "K7QF9MZX2ABCD3EF",
		"alpha-bravo-charlie-delta-echo-foxtrot", "123456789012345678901234", "XKRTWBCDFGHJKLMN", "q8Xz-3Kd_91LmPo-aa7TzQ",
		"4f:3a:99:0c:1d:2e:7b:88:a1:b2", "fet7 xrm4 bv59 ygrk", "aaaa bbbb cccc dddd eeee 1f1f", "5B7F9C-ETMPWK-KQPZCE",
		"aB3dE6gH9kL2mN",
	] {
		_kinds(text) == {"a code"}
	}
	_kinds("-----BEGIN KEY") == {"a key"}
	_kinds("orch --ledger /x 're'new") == {"the renewal command"}
}

test_a_command_is_found_whatever_stands_before_it if {
	every text in ["orch -- renew", "orch 2>&1 renew", "$(which orch) renew", "uvx orch-policy renew", "orch.exe renew", "orch $X renew"] {
		_kinds(text) == {"the renewal command"}
	}
	every text in ["orch reset", "orch --ledger /x disarm", "orch set-deadline --in 2d", "orch trigger", "orch code new"] {
		_kinds(text) == {"a command that moves the deadline"}
	}
	every text in ["orch - renew", "orch: renew it", "orch asks you to reset"] {
		_kinds(text) == set()
	}
}

test_a_share_of_another_machine_is_found if {
	every text in ["\\\\server\\share", "wss:acme", "ftp.acme"] {
		"a URL" in _kinds(text)
	}
}

test_plain_words_are_plain if {
	every text in [
		"Until 2026-11-21T05:00:00Z, i.e. in 6 hours, see report.pdf.", "It is near.Is it? Over.Renew!", "acme-continuity 1.4.0",
		"acme-board-continuity-plan", "v1.2.3.4, at 5 p.m.", "a.tar.gz and one.yaml/two.yaml", "mail1, mail2, mail3",
		"INTERNATIONALISATION", "iPhone15ProMax", "orch asks you to renew", "commit 9f86d081884c7d65", "acmecontinuity2026",
	] {
		_kinds(text) == set()
	}
}

test_what_the_host_reads_in_it_counts_too if {
	_found(_asked({"body": "acme dot example"}, {"texts": ["acme.example", 5]})) == {["a domain name", "acme.example"]}
}

test_where_it_goes_is_no_text_of_it if {
	properties := {
		"channel": "mail.acme.example", "to": ["ann@acme.example"], "reply_to": "ben@acme.example", "template": "a.example",
		"url": "https://acme.example", "endpoint": "a.example", "path": "docs/status.md",
		"attachments": [{"name": "a.pdf", "path": "x.md", "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015"}],
	}
	_found(_asked(properties, {})) == set()
}

test_a_reference_to_a_secret_is_no_text if {
	_found(_asked({"json": {"token": "${{ secrets.NAME }}"}}, {"texts": ["a ${{secrets.NAME}} b"]})) == set()
}

test_everything_else_is_text_of_it if {
	_found(_asked({"attachments": [{"name": "acme.example"}]}, {})) != set()
	_found(_asked({"json": {"deep": [{"url": "https://acme.example"}]}}, {})) != set()
	_found(_asked({"json": {"acme.example": 1}}, {})) != set()
}

test_a_path_of_an_action_that_nobody_knows_is_text if {
	asked := object.union(_asked({"path": "acme.example"}, {}), {"action": {"name": "page_people"}})
	_found(asked) != set()
}

_applies(known) if _found(_asked({"body": "acme.example"}, known)) != set()

test_only_others_than_the_operator_may_be_shown_a_way_in if {
	every audience in ["operator", "everybody", null, 5] {
		_applies({"audience": audience})
	}
	every audience in ["custodians", "public"] {
		not _applies({"audience": audience, "of_stage": "full"})
	}
}

test_the_policy_knows_whose_stage_it_is if _applies({"audience": "public", "of_stage": "remind"})

test_without_an_escalation_nothing_is_looked_at if {
	asked := object.union(_asked({"body": "acme.example"}, {}), {"facts": {}})
	found := wayin.found with input as object.union(asked, {"facts": {"escalation": false}})
	found == set()
}

test_the_escalations_own_actions_are_not_looked_at if {
	every name in ["tick", "enter_stage", "control_escalation"] {
		asked := object.union(_asked({"stage": "acme.example"}, {}), {"action": {"name": name}})
		_found(asked) == set()
	}
}

test_an_objection_names_what_it_saw_and_no_code if {
	asked := _asked({"body": "acme.example/{subject} K7QF-9MZX-2ABC-D3EF"}, {})
	found := wayin.objections with input as asked with data.policy as _policy
	found == {"a text for the operator holds a code (K7QF...), a domain name (acme.example); reminders never carry a way in"}
}

test_texts_that_nobody_looked_at_are_objected_to if {
	found := wayin.objections with input as _asked({"body": "Hello"}, {"texts": null}) with data.policy as _policy
	found == {"nobody looked at what the texts for the operator come to"}
}
