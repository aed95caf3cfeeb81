"""Runs: plans walked to their end, over pauses, crashes and many workers."""
