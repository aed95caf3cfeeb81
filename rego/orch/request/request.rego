# METADATA
# description: What a request says, read once. An attribute is a value, unknown, or (in neither place) known and absent.
package orch.request

# METADATA
# description: What the host's own check of the request found. A request that nobody checked is invalid.
default errors := ["nobody checked this request"]

errors := input.facts.request_errors if is_array(input.facts.request_errors)

# METADATA
# description: What the catalogue says of the action; undefined for a declared action.
catalogued := data.policy.actions[input.action.name]

# METADATA
# description: The subject's name, `type:id`.
subject := input.subject.id if startswith(input.subject.id, concat("", [input.subject.type, ":"]))

else := concat(":", [input.subject.type, input.subject.id])

# METADATA
# description: The repository, lower-cased; `none` for a run that has none; undefined when nobody knows.
repository := lower(input.resource.id) if input.resource.type == "repository"

else := lower(input.facts.repository)

# METADATA
# description: Whether the action can have this property of its resource.
can_have(_) if not catalogued

can_have(name) if catalogued.has[name]

# METADATA
# description: The known attributes that globs are held against.
values := object.union_n([
	{"subjects": subject},
	_repository,
	_property("branches", "branch"),
	_property("head_branches", "head_branch"),
	_tool,
])

# METADATA
# description: The known lists of plain names.
names := object.union(_roles, _stage)

# METADATA
# description: The attributes that this request could have and whose value nobody knows.
unknown contains name if {
	some name in ["repositories", "pack_repositories", "checkout"]
	not repository
}

unknown contains "branches" if {
	can_have("branch")
	not values.branches
}

unknown contains "head_branches" if {
	can_have("head_branch")
	not values.head_branches
}

unknown contains "tools" if {
	not catalogued
	not values.tools
}

unknown contains "roles" if not names.roles

unknown contains "stages" if not names.stages

unknown contains "files" if {
	can_have("files")
	not _has_files
}

# METADATA
# description: The paths of the change, a set; empty when there are none or nobody knows.
default paths := set()

paths := {file.path | some file in input.resource.properties.files} if can_have("files")

# METADATA
# description: The point, or null.
default point := null

point := input.facts.point

# METADATA
# description: Where the run stands, or null.
default stage := null

stage := input.facts.stage

# METADATA
# description: The mode that overrides every pack's, or null.
default override := null

override := input.facts.override

# METADATA
# description: The time of the decision, nanoseconds.
now_ns := time.parse_rfc3339_ns(input.facts.time)

# METADATA
# description: What approvals and evidence are bound to, the change or (where there is none) the action.
bound_digest := input.facts.change_digest if is_string(input.facts.change_digest)

else := action_digest

# METADATA
# description: The digest of the action, made by the host.
action_digest := input.facts.action_digest

# METADATA
# description: How many paths a finding names.
default path_limit := 20

path_limit := input.facts.path_limit

# A call inside `not` is undefined where its argument is (measured, OPA 1.22), so each stands in a rule of its own.
_has_files if is_array(input.resource.properties.files)

default _repository := {}

_repository := {
	"repositories": repository,
	"pack_repositories": repository,
	"checkout": repository,
} if {
	repository != "none"
}

default _tool := {}

_tool := {"tools": input.resource.id} if input.resource.type == "tool"

default _roles := {}

_roles := {"roles": input.facts.subject.roles} if is_array(input.facts.subject.roles)

default _stage := {}

_stage := {"stages": [input.facts.stage]} if {
	is_string(input.facts.stage)
	input.facts.stage != ""
}

default _properties := {}

_properties := input.resource.properties

_property(selector, name) := {selector: value} if {
	can_have(name)
	value := _properties[name]
	is_string(value)
	value != ""
} else := {}
