# METADATA
# description: Reminders never carry a way in. Finds what leads somewhere, or opens something, in the texts that go to the operator.
package orch.wayin

import data.orch.request

# METADATA
# description: What these texts must not hold, each a pair of kind and what was seen of it; empty for what does not go to the operator.
found := union({_in(text) | some text in _texts}) if {
	input.facts.escalation
	not _is_outward
	not input.action.name in {"tick", "enter_stage", "control_escalation"}
} else := set()

# METADATA
# description: Why these texts cannot go to the operator, in words; empty where they can.
objections contains text if {
	count(found) > 0
	seen := array.slice([sprintf("%s (%s)", [kind, seen]) | some [kind, seen] in found], 0, 5)
	text := concat("", ["a text for the operator holds ", concat(", ", seen), "; reminders never carry a way in"])
}

objections contains "nobody looked at what the texts for the operator come to" if {
	input.facts.escalation
	not _is_outward
	not is_array(object.get(input.facts.escalation, "texts", null))
	not input.action.name in {"tick", "enter_stage", "control_escalation"}
}

# Whom nobody knows is the operator, and so is whom the policy itself calls that.
_is_outward if {
	input.facts.escalation.audience in {"custodians", "public"}
	not _is_operators_by_policy
}

_is_operators_by_policy if {
	some stage in data.policy.escalations[input.facts.escalation.name].stages
	stage.name == input.facts.escalation.of_stage
	stage.audience == "operator"
}

# What was written, and what the host says that it comes to; references to secrets are no words.
_texts := {regex.replace(text, `\$\{\{\s*secrets\.[A-Za-z_][A-Za-z0-9_]*\s*\}\}`, " ") |
	some text in (_written | {one | some one in input.facts.escalation.texts})
	is_string(text)
}

_written := {text |
	some name, value in input.action.properties
	not _addressing[name]
	not _is_technical(name)
	some text in _strings(name, value)
}

_addressing := {"channel", "to", "reply_to", "endpoint", "url", "template"}

_technical := {"commit", "path", "remote", "script_digest", "source"}

_is_technical(name) if {
	_technical[name]
	request.catalogued.arguments[name]
}

_strings(name, value) := {one.name | some one in value} if {
	name == "attachments"
	request.catalogued.arguments[name]
	is_array(value)
} else := {text |
	walk(value, [path, leaf])
	some text in array.concat(path, [leaf])
}

_in(text) := union({
	_urls(text), _mails(text), _dotted(text), _addresses(text), _commands(text),
	_keys(text), _runs(text), _mingled(text), _joined(text), _spaced(text),
})

# -- what leads somewhere

_urls(text) := {["a URL", _quoted(place)] |
	some pattern in [
		`(?i)\b[a-z][a-z0-9+.-]*://\S*`,
		`(?i)\b(?:mailto|tel|sms|javascript|magnet|otpauth|sips?|xmpp):[^\s:]\S*`,
		`(?i)\bdata:[a-z]+/\S*`,
		`(?i)\b(?:https?|wss?|ftp|file):[^\s:]\S*`,
		`(?i)\bftp\.[\pL\pN]\S*`,
		`\\\\[\pL\pN][\w.-]*\\`,
		`(?i)\bwww[0-9]{0,3}\.[\pL\pN]\S*`,
		`(?:^|[\s"'(=])//[\pL\pN]\S*`,
		`(?i)\b[a-z][a-z0-9-]*:[0-9]{2,5}/[a-z]\S*`,
		`(?i)\blocalhost\b\S*`,
	]
	some seen in regex.find_n(pattern, text, -1)
	place := regex.find_n(`^[^/?#]*(?://)?[^/?#]*`, trim_space(seen), 1)[0]
}

_mails(text) := {["a mail address", _quoted(seen)] |
	some seen in regex.find_n(`[^\s@<>(),;:"'\[\]]+@[\pL\pN][\pL\pN.-]*`, text, -1)
}

# IPv6 alone; IPv4 is found among what has dots.
_addresses(text) := {["an IP address", _quoted(seen[1])] |
	pattern := concat("", [
		`(?i)(?:^|[^\w:.])(`,
		`(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}`,
		`|(?:[0-9a-f]{1,4}:){1,6}:(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?`,
		`|::[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}`,
		`)(?:$|[^\w:])`,
	])
	some seen in regex.find_all_string_submatch_n(pattern, text, -1)
}

# A name with dots, and what follows it where that tells something: a port, a slash, the end of a word.
_dotted(text) := {[kind, _quoted(found[1])] |
	pattern := `([\pL\pM\pN_-]+(?:[.。．｡][\pL\pM\pN_-]+)+)((?::[0-9]{1,5})?/|[\s!?,;])?`
	some found in regex.find_all_string_submatch_n(pattern, text, -1)
	labels := regex.split(`[.。．｡]`, found[1])
	kind := _kind(labels, found[2])
}

_kind(labels, after) := "an IP address" if {
	regex.match(`^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$`, concat(".", labels))
} else := "a domain name" if {
	_is_domain(labels, labels[count(labels) - 1], after)
}

_is_domain(labels, _, _) if {
	some label in labels
	startswith(lower(label), "xn--")
}

_is_domain(labels, last, after) if {
	endings[lower(last)]
	not _begins_a_sentence(labels, last, after)
}

_is_domain(labels, last, _) if {
	count(labels) > 2
	_is_word(last)
	some label in array.slice(labels, 0, count(labels) - 1)
	regex.match(`\pL{2}`, label)
}

_is_domain(_, last, after) if {
	endswith(after, "/")
	_is_word(last)
}

_is_word(last) if {
	regex.match(`^\p{Ll}{2,}$`, last)
	not of_files[last]
}

# `It is near.Is it?` - of two parts the second has a capital and may begin a sentence, the first may end one.
_begins_a_sentence(labels, last, after) if {
	count(labels) == 2
	regex.match(`^[A-Z][a-z]*$`, last)
	openers[lower(last)]
	regex.match(`^[\p{Ll}\pN]+$`, labels[0])
	regex.match(`^[\s!?,;]$`, after)
}

# -- what opens something

# However a shell could be told, options and quotes included.
_commands(text) := {[kind, _quoted(seen)] |
	typed := regex.replace(regex.replace(text, `\$\{?IFS\}?`, " "), "[\"'`\\\\*]|\\{,*\\}", "")
	some kind, command in _countdown
	some seen in regex.find_n(sprintf(_line, [command]), typed, -1)
}

# The program, then options with what they are given, redirections, variables and numbers, then the command: words
# between them are a sentence.
_line := concat("", [
	`(?i)\borch(?:estrator|-policy)?(?:\.exe|\.py|@[\w.]+)?[)\]}]*`,
	`(?:\s+(?:--?[a-z][-\w]*(?:=\S*|\s+[^-\s]\S*)?|--|[$<>&|;0-9][^\s]*))*\s+%s\b`,
])

_countdown := {
	"the renewal command": "renew",
	"a command that moves the deadline": `(?:reset|disarm|arm|set-deadline|trigger|code\s+(?:new|time))`,
}

_keys(text) := {["a key", _hint(seen)] |
	pattern := `-----BEGIN [A-Z]|AGE-SECRET-KEY-|(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+\s+AAAA`
	some seen in regex.find_n(pattern, text, -1)
}

# One word of base32, hex or digits.
_runs(text) := {["a code", _hint(seen)] |
	some seen in regex.find_n(`[A-Za-z0-9]{16,}`, text, -1)
	_is_random(seen)
}

_is_random(run) if {
	regex.match(`[A-Za-z]`, run)
	regex.match(`[0-9]`, run)
	not regex.match(`^(?:[0-9a-f]{16,19}|[0-9A-F]{16,19}|[A-Z]?[a-z]+[0-9]{1,4}|[0-9]{8}T[0-9]{6,9}Z)$`, run)
}

_is_random(run) if regex.match(`^[0-9]{24,}$`, run)

_is_random(run) if {
	regex.match(`^[A-Z]+$`, run)
	regex.match(`[B-DF-HJ-NP-TV-XZ]{5}`, run)
}

# Base64: small letters, capitals and digits change often.
_mingled(text) := {["a code", _hint(seen)] |
	some seen in regex.find_n(`[A-Za-z0-9+/_-]{14,}`, text, -1)
	regex.match(`[a-z]`, seen)
	regex.match(`[A-Z]`, seen)
	count([pair | some pattern in _changes; some pair in regex.find_n(pattern, seen, -1)]) >= _many(seen)
}

_many(seen) := 4 if count(seen) >= 16

else := 5

_changes := [`[a-z][A-Z]`, `[0-9][A-Za-z]`, `[A-Za-z][0-9]`]

# Four or more groups of four or more, unless they are plain words and numbers; or pairs of hex.
_joined(text) := {["a code", _hint(seen)] |
	some seen in regex.find_n(`[A-Za-z0-9]{4,}(?:[-‐‑‒–—―−_.:/·+*|~=][A-Za-z0-9]{4,}){3,}`, text, -1)
	_is_grouped(regex.find_n(`[A-Za-z0-9]+`, seen, -1))
} | {["a code", _hint(seen)] |
	some seen in regex.find_n(`(?i)\b[0-9a-f]{2}(?:[: -][0-9a-f]{2}){9,}\b`, text, -1)
	regex.match(`(?i)[a-f]`, seen)
}

_is_grouped(groups) if count(groups) > 5

_is_grouped(groups) if count({count(group) | some group in groups}) == 1

_is_grouped(groups) if {
	some group in groups
	some pattern in _changes
	regex.match(pattern, group)
}

# Groups of one length, whatever stands between them: sixteen characters at least, and not all of them words.
_spaced(text) := {["a code", _hint(seen)] |
	some length, more in {3: 5, 4: 3, 5: 3, 6: 2, 7: 2, 8: 1}
	group := sprintf(`[A-Za-z0-9]{%d}`, [length])
	between := `(?:\s*[-‐‑‒–—―−_.:/·,;+*|~=]\s*|\s+)`
	some seen in regex.find_n(sprintf(`\b%s(?:%s%s\b){%d,}`, [group, between, group, more]), text, -1)
	_are_random(regex.find_n(`[A-Za-z0-9]+`, seen, -1), regex.match(`\s`, seen), length)
}

_are_random(groups, _, _) if count(_scrambled(groups)) > 1

_are_random(groups, _, _) if {
	count(groups) > 5
	count(_scrambled(groups)) > 0
}

_are_random(groups, has_blanks, length) if {
	not has_blanks
	length < 8
	count(_scrambled(groups)) > 0
}

# `mail1 mail2 mail3` is a list, `fet7 xrm4 bv59` is not.
_are_random(groups, _, _) if {
	stems := {regex.replace(group, `[0-9]`, "") | some group in groups; regex.match(`[a-z][0-9]`, group)}
	count(stems) > 2
}

# Groups in which a letter follows a digit, or a digit a capital: no word with a number at its end.
_scrambled(groups) := [group | some group in groups; regex.match(`[0-9][A-Za-z]|[A-Z][0-9]`, group)]

# What is shown of a text, without what a message could take for a placeholder.
_quoted(seen) := regex.replace(substring(trim_space(seen), 0, 60), `[{}]`, "")

# Of what may be secret no more than how it begins.
_hint(seen) := concat("", [substring(seen, 0, 4), "..."])
