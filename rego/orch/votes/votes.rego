# METADATA
# description: Signed votes - which of them count, for what, and why the others do not. Never trusts what a vote says of its own signature.
package orch.votes

import data.orch.request

_type := "orch-vote+jwt"

_form := `^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]{86}$`

_longest := 4096

_latest_s := 9223372036

# METADATA
# description: Everyone who had a hand in the request or the change, and so cannot approve it.
involved contains request.subject

involved contains input.facts.subject.name

involved contains input.facts.trigger

involved contains name if some name in input.facts.delegation

involved contains name if some name in input.facts.contributors

# What a request claims of whom it acts for only ever narrows.
involved contains _person(name) if some name in _behalf

_behalf := input.subject.properties.on_behalf_of if is_array(input.subject.properties.on_behalf_of)

else := [input.subject.properties.on_behalf_of]

_person(name) := name if contains(name, ":")

else := concat("", ["user:", name])

# METADATA
# description: Votes as the rules on approvals read them, one entry for each digest that a vote is about.
counted := _vouched | {entry |
	some vote in _judged
	vote.why == ""
	vote.claims.dec != "revoke"
	not _is_revoked(vote)
	some digest in ({vote.claims.act, object.get(vote.claims, "chg", null)} - {null})
	entry := {
		"by": vote.claims.iss,
		"role": vote.claims.role,
		"decision": vote.claims.dec,
		"at": time.format(vote.claims.iat * 1000000000),
		"digest": digest,
	}
}

# METADATA
# description: Signed votes that do not count, with who is said to have voted.
ignored := {{"kind": "vote_ignored", "by": vote.by, "why": why} |
	some vote in _judged
	why := _told(vote)
	not why in {"", "revoked"}
}

# Unsigned votes are what `--facts` states, or what the host vouches for: a review, by a person whose role the roster gives.
_vouched := {vote |
	some vote in input.facts.approvals
	is_string(vote.by)
	is_string(vote.role)
	_holds_if_reviewed(vote)
}

_holds_if_reviewed(vote) if object.get(vote, "via", null) != "github"

_holds_if_reviewed(vote) if _holds(vote.by, vote.role)

_judged := [object.union(vote, {"why": _why(vote)}) |
	some token in input.facts.votes
	vote := _read(token)
]

_read(token) := {"token": token, "header": header, "claims": claims, "by": _text(claims, "iss")} if {
	count(token) <= _longest
	regex.match(_form, token)
	[head, body, _] := split(token, ".")
	header := json.unmarshal(base64url.decode(head))
	claims := json.unmarshal(base64url.decode(body))
	is_object(header)
	is_object(claims)
} else := {"token": "", "header": {}, "claims": {}, "by": ""}

_text(claims, name) := claims[name] if is_string(claims[name])

else := ""

# The engine ignores a token's header when it looks at the signature, so the header is judged here, first.
_has_header(vote) if {
	vote.header.alg == "EdDSA"
	vote.header.typ == _type
	object.keys(vote.header) - {"alg", "typ", "kid"} == set()
}

_is_signed(vote) if {
	some key in data.policy.roster[vote.claims.iss].keys
	io.jwt.verify_eddsa(vote.token, key)
}

_is_whole(vote) if {
	vote.claims.dec in {"approve", "reject"}
	every name in ["jti", "role", "act", "aud", "req", "pol"] {
		is_string(vote.claims[name])
		vote.claims[name] != ""
	}
	_is_text_or_null(object.get(vote.claims, "chg", null))
	_is_second(vote.claims.iat)
	_is_second(vote.claims.exp)
}

_is_whole(vote) if {
	vote.claims.dec == "revoke"
	is_string(vote.claims.rev)
	vote.claims.rev != ""
}

_is_text_or_null(value) if is_string(value)

_is_text_or_null(null)

_is_second(value) if {
	is_number(value)
	value == round(value)
	value >= 0
	value <= _latest_s
}

_holds(person, role) if role in data.policy.roster[person].roles

_is_for_this_ledger(vote) if vote.claims.aud == input.facts.ledger

# A rejection stands whatever it was asked for, under whichever policy, and after its own end: what it is about decides.
_is_for_this_request(vote) if vote.claims.req == input.facts.request_id

_is_for_this_request(vote) if vote.claims.dec == "reject"

_is_under_this_policy(vote) if vote.claims.pol == data.policy.digest

_is_under_this_policy(vote) if vote.claims.dec == "reject"

_has_begun(vote) if vote.claims.iat * 1000000000 <= request.now_ns

_has_not_ended(vote) if request.now_ns < vote.claims.exp * 1000000000

_has_not_ended(vote) if vote.claims.dec == "reject"

_is_revoked(vote) if [vote.claims.iss, vote.claims.jti] in _revoked

_revoked := {[vote.claims.iss, vote.claims.rev] |
	some vote in _judged
	vote.why == ""
	vote.claims.dec == "revoke"
}

# Why a token is no vote on this request; "" where it is one. A revocation needs the person and the ledger alone.
_why(vote) := why if {
	why := _why_nowhere(vote)
	why != ""
} else := "" if {
	vote.claims.dec == "revoke"
} else := _why_not_here(vote)

_why_nowhere(vote) := "form" if vote.token == ""

else := "header" if not _has_header(vote)

else := "signature" if not _is_signed(vote)

else := "claims" if not _is_whole(vote)

else := "ledger" if not _is_for_this_ledger(vote)

else := ""

_why_not_here(vote) := "request" if not _is_for_this_request(vote)

else := "policy" if not _is_under_this_policy(vote)

else := "role" if not _holds(vote.claims.iss, vote.claims.role)

else := "future" if not _has_begun(vote)

else := "expired" if not _has_not_ended(vote)

else := ""

# Why a vote does not count, as told to people.
_told(vote) := vote.why if {
	vote.why != ""
} else := "" if {
	vote.claims.dec == "revoke"
} else := "revoked" if {
	_is_revoked(vote)
} else := "involved" if {
	vote.claims.iss in involved
} else := "digest" if {
	not _is_about_this(vote)
} else := ""

_is_about_this(vote) if vote.claims.act == request.action_digest

_is_about_this(vote) if vote.claims.chg == request.bound_digest
