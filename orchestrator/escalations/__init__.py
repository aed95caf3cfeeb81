"""Escalations: a countdown that, if nobody renews it, goes through ordered stages and does what each of them says."""
