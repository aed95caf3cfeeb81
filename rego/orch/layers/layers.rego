# METADATA
# description: What the layers say together, in the two views - `would` (every pack enforces) and `outcome` (warning packs object to nothing).
package orch.layers

import data.orch.request
import data.orch.rules

# METADATA
# description: Pack number to whether it surely applies; packs that do not apply are left out.
applying := {id: is_sure |
	some ids in rules.found_in(data.policy.pack_index)
	some id in ids
	pack := data.policy.packs[id]
	truths := {t | some name, globs in pack.globs; t := rules.glob_truth(name, globs)}
	not false in truths
	is_sure := _is_sure(pack, truths)
}

_is_sure(pack, truths) if {
	not null in truths
	not pack.is_unsure
} else := false

# METADATA
# description: What a pack does at this point.
mode(pack) := request.override if request.override in {"enforce", "warn"}

else := object.get(pack.enforcement, request.point, "enforce")

# METADATA
# description: The packs that object in a view.
objecting("would") := {id | some id, _ in applying}

objecting("outcome") := {id | some id, _ in applying; mode(data.policy.packs[id]) == "enforce"}

# METADATA
# description: The view that gives the outcome; where no pack warns it is `would`, and nothing is worked out twice.
outcome_view := "would" if objecting("would") == objecting("outcome")

else := "outcome"

# METADATA
# description: The views of this request.
views := {"would", outcome_view}

_keys := {data.policy.packs[id].key | some id, _ in applying} | {"org"}

_hits_of(effect, key) := {id: found |
	some id, found in rules.hits
	rule := data.policy.rules[id]
	rule.effect == effect
	data.policy.packs[rule.pack].key == key
}

# METADATA
# description: Layer to the units that none of its rules allows.
uncovered[key] := left if {
	some key in _keys
	left := _without(rules.units, _allowed(key))
}

_allowed("org") := _union(_hits_of("allow", "org")) | _confirmed

_allowed(key) := _union(_hits_of("allow", key)) if key != "org"

_confirmed := set() if _delegated == {}

else := _union(_delegated) & _union(_hits_of("allow", "repo"))

_delegated := _hits_of("delegate", "org")

# Many rules hit every unit; the union is then at hand.
_union(found) := rules.units if {
	some _, units in found
	units == rules.units
} else := union({units | some _, units in found})

_without(units, others) := set() if units == others

else := units - others

# METADATA
# description: Rules that deny in a view.
denying(view) := {id |
	some id, left in rules.standing
	left != set()
	rule := data.policy.rules[id]
	rule.effect == "deny"
	rule.level != "advisory"
	rule.pack in objecting(view)
}

# METADATA
# description: Layer to the units on which none of its rules has a say in a view, so that its default has.
silent(view) := {key: left |
	some key, units in uncovered
	left := _without(units, _denied(view, key))
	left != set()
}

_denied(view, key) := rules.units if _is_denied_by_a_module(view, key)

else := union({rules.standing[id] |
	some id in denying(view)
	data.policy.packs[data.policy.rules[id].pack].key == key
})

_is_denied_by_a_module(view, key) if {
	some [id, finding] in contributed
	data.policy.packs[id].key == key
	id in objecting(view)
	not _is_mild(finding)
}

# METADATA
# description: Packs that deny by default in a view, each with the units it denies.
denying_by_default(view) := {id: units |
	some id in objecting(view)
	pack := data.policy.packs[id]
	pack.default == "deny"
	units := silent(view)[pack.key]
}

# METADATA
# description: Packs that deny by default in any view, each with the units it denies.
denying_by_default_at_all := {id: units |
	some id, _ in applying
	units := union({found | some view in views; found := denying_by_default(view)[id]})
	units != set()
}

_org_allows_by_default if {
	some id, true in applying
	pack := data.policy.packs[id]
	pack.key == "org"
	pack.default == "allow"
}

_org(id) if data.policy.packs[id].key == "org"

# Every org pack that may apply only warns, and one surely applies.
_org_only_warns if {
	some id, true in applying
	_org(id)
	every other, _ in applying {
		not _org_enforces(other)
	}
}

_org_enforces(id) if {
	_org(id)
	id in objecting("outcome")
}

# METADATA
# description: The units on which org has no opinion in a view.
without_policy(view) := units if {
	units := silent(view).org
	not _org_allows_by_default
	not _org_denies_by_default(view)
	not _is_excused(view)
} else := set()

_org_denies_by_default(view) if {
	some id, _ in denying_by_default(view)
	_org(id)
}

_is_excused("outcome") if _org_only_warns

# METADATA
# description: Findings that hand-written modules contribute, as they came, each with its pack's number.
contributed := {[id, finding] |
	some id, _ in applying
	some finding in data.packs[data.policy.packs[id].modules].findings
}

# METADATA
# description: Obligations that hand-written modules contribute, as they came, each with its pack's number.
owed_by_modules := {[id, obligation] |
	some id, _ in applying
	some obligation in data.packs[data.policy.packs[id].modules].obligations
}

# METADATA
# description: Whether anything denies in a view. A contributed finding denies unless it says clearly that it does not.
denies(view) if denying(view) != set()

denies(view) if denying_by_default(view) != {}

denies(view) if {
	some key in _keys
	_is_denied_by_a_module(view, key)
}

_is_mild(finding) if finding.level == "advisory"

_is_mild(finding) if finding.effect == "require"
