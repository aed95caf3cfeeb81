# METADATA
# title: Answer
# description: The one entrypoint. Answers every request of a batch, in order; a request it cannot answer leaves the batch short, which the host reads as undecidable.
# entrypoint: true
package orch

# METADATA
# description: One answer for each item of `input.batch`.
answer := [one |
	some item in input.batch
	one := data.orch.findings.answer with input as item
]

# METADATA
# description: For each item of `input.batch`, every candidate rule and the truth of each of its parts.
explanation := [one |
	some item in input.batch
	one := data.orch.explain.rules with input as item
]
