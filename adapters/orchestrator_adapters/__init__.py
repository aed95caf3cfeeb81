"""Adapters: each does one family of actions in the outside world."""
