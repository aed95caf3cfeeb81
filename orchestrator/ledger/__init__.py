"""The ledger: an append-only record in SQLite or PostgreSQL. The format is in docs/ledger.md.

event, mask -> append (in one transaction with its projections) -> heads (tree, signatures) -> verify, export, show
"""
