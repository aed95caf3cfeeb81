package orch.votes_test

import data.orch.votes

_now := "2026-03-01T12:00:00Z"

_now_s := 1772366400

_facts := {
	"time": _now, "ledger": "l", "request_id": "r", "action_digest": "a", "change_digest": "c",
	"subject": {"name": "agent:fixer"},
}

_claims := {
	"jti": "v", "iss": "user:alice", "aud": "l", "req": "r", "act": "a", "chg": "c", "pol": "p", "role": "sre",
	"dec": "approve", "iat": _now_s - 60, "exp": _now_s + 60,
}

# A signature of nobody: what is signed well is tried where keys are, in tests/integration/test_voting.py.
_token(header, claims) := concat(".", [_part(header), _part(claims), substring(_part({"x": _claims}), 0, 86)])

_part(value) := base64url.encode_no_pad(json.marshal(value))

_header := {"alg": "EdDSA", "typ": "orch-vote+jwt"}

_policy := {"digest": "p", "roster": {"user:alice": {"roles": ["sre"], "keys": [_key]}}}

_key := `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

_request := {"subject": {"type": "agent", "id": "agent:fixer"}}

_why(token) := {one.why | some one in found} if {
	found := votes.ignored with data.policy as _policy
		with input as object.union(_request, {"facts": object.union(_facts, {"votes": [token]})})
}

test_what_is_no_token_says_so if {
	every token in ["", "garbage", "a.b.c", 5, null, {}, sprintf("x.y.%s", [_part(_claims)])] {
		_why(token) == {"form"}
	}
}

test_the_header_is_judged_before_the_signature if {
	headers := [
		{}, {"alg": "none", "typ": "orch-vote+jwt"}, {"alg": "HS256", "typ": "orch-vote+jwt"}, {"alg": "EdDSA"},
		{"alg": "EdDSA", "typ": "JWT"}, {"alg": "EdDSA", "typ": "orch-vote+jwt", "crit": ["b64"]},
		{"alg": "EdDSA", "typ": "orch-vote+jwt", "cty": "JWT"},
	]
	every header in headers {
		_why(_token(header, _claims)) == {"header"}
	}
}

test_a_signature_by_nobody_of_the_roster_counts_for_nothing if {
	every claims in [_claims, object.union(_claims, {"iss": "user:nobody"}), object.union(_claims, {"iss": 5}), {}] {
		_why(_token(_header, claims)) == {"signature"}
	}
	_why(_token(object.union(_header, {"kid": "k"}), _claims)) == {"signature"}
}

test_nothing_counts_of_what_is_ignored if {
	counted := votes.counted with data.policy as _policy
		with input as object.union(_request, {"facts": object.union(_facts, {"votes": [_token(_header, _claims)]})})
	counted == set()
}

test_a_review_counts_for_a_role_that_the_roster_gives if {
	reviews := [{"by": "user:alice", "role": role, "via": "github"} | some role in ["sre", "lead"]]
	counted := votes.counted with data.policy as _policy
		with input as object.union(_request, {"facts": object.union(_facts, {"approvals": reviews})})
	{vote.role | some vote in counted} == {"sre"}
}

test_everyone_with_a_hand_in_it_is_involved if {
	facts := {"delegation": ["user:a"], "contributors": ["user:b", "user:c"], "trigger": "user:d"}
	request := {"subject": {"type": "agent", "id": "fixer", "properties": {"on_behalf_of": ["user:e", "f", 5]}}}
	found := votes.involved with input as object.union(request, {"facts": object.union(_facts, facts)})
	found == {"agent:fixer", "user:a", "user:b", "user:c", "user:d", "user:e", "user:f"}
}

test_a_request_that_names_nobody_else_involves_its_subject if {
	found := votes.involved with input as object.union(_request, {"facts": {}})
	found == {"agent:fixer"}
	for_one := votes.involved with input as {
		"subject": {"type": "agent", "id": "agent:fixer", "properties": {"on_behalf_of": "user:x"}},
		"facts": {},
	}
	for_one == {"agent:fixer", "user:x"}
}
