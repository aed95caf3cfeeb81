# METADATA
# description: Credentials in the arguments of a tool call, however deep they lie. A selector looks at one path; this walks all.
package packs["mcp-tools"]

# A finding denies unless it says `effect: require` or `level: advisory`. Its message never repeats what was found.
findings contains {
	"id": "no-leaks",
	"effect": "deny",
	"level": "hard",
	"message": sprintf("an argument of %s looks like %s", [input.resource.id, kind]),
	"fix": "take the credential out of the call; the tool's server holds its own",
} if {
	input.action.name == "call_tool"
	walk(input.action.properties, [_, value])
	is_string(value)
	some kind, pattern in _patterns
	regex.match(pattern, value)
}

_patterns := {
	"a private key": `-----BEGIN [A-Z ]*PRIVATE KEY-----`,
	"an AWS access key": `\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`,
	"a GitHub token": `\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b`,
	"a Slack token": `\bxox[abprs]-[A-Za-z0-9-]{10,}`,
}
