"""Texts of plans for tests: what is wrong with them, what is doubtful, and what they say."""

from orchestrator.plans.abilities import Abilities
from orchestrator.plans.model import Plan
from orchestrator.plans.read import check_text

HEAD = "apiVersion: orch/v1\nkind: Plan\nmetadata: {name: p}\n"
CAN = Abilities(
    {
        "command": frozenset({"run_command"}),
        "mail": frozenset({"send_message"}),
        "chat": frozenset({"send_message"}),
        "git": frozenset({"write_document"}),
        "github": frozenset({"write_document", "comment"}),
        "keys": frozenset({"rotate_key"}),
    }
)


def told(text: str, can: Abilities = CAN) -> list[str]:
    """Return what is wrong with a plan of this text, its head aside."""
    return [str(one) for one in check_text((HEAD + text).encode(), "p.yaml", can).problems if not one.is_warning]


def warned(text: str, can: Abilities = CAN) -> list[str]:
    """Return what is doubtful about a plan in which nothing is wrong."""
    checked = check_text((HEAD + text).encode(), "p.yaml", can)
    assert checked.plan is not None, checked.problems
    return [str(one) for one in checked.problems]


def plan(text: str) -> Plan:
    """Return the plan of this text, its head aside."""
    checked = check_text((HEAD + text).encode(), "p.yaml", CAN)
    assert checked.plan is not None, checked.problems
    return checked.plan


def step(text: str, more: str = "") -> str:
    """Return a plan of one phase with one step that has these keys."""
    return f"phases:\n  - id: a\n    steps:\n      - {{id: s, action: run_command, {text}}}\n{more}"


def success(text: str) -> str:
    """Return a plan of one phase with one criterion."""
    return f"phases:\n  - id: a\n    success:\n      - {text}\n"
