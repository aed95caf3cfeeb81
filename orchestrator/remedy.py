"""What may be done about a decision that is no allow, in a sentence. Pure; on the hot path."""

from typing import Any

_MOST_PACKS = 5
_WHY = {
    "early": "no further stage is due",
    "dwell": "it has not stood there for long enough",
    "undelivered": "a notice has to be delivered first",
    "last": "there is no further stage",
    "disarmed": "its deadline does not count",
}
"""Why an escalation stays where it stands."""


def next_action(context: dict[str, Any]) -> str:
    """Return what to do next; "" where it is allowed."""
    match context["reason"]:
        case "allowed" | "warned":
            return ""
        case "pending":
            return "; then ".join(
                _wanted(one)
                for one in context["obligations"]
                if one["status"] == "unmet" and one["phase"] == "before" and one["mode"] == "enforce"
            )
        case "budget_spent":
            spent = [
                one["id"] for one in context["obligations"] if one["type"] == "budget" and one["status"] == "unmet"
            ]
            return f"raise the limit of {', '.join(spent)}"
        case "undecidable":
            return _uncounted(context)
    objecting = [one for one in context["findings"] if one["mode"] == "enforce" and not one["waived"]]
    objecting = [one for one in objecting if one["effect"] in {"deny", "require"} and one["level"] != "advisory"]
    if fix := next((str(one["fix"]) for one in objecting if one["fix"]), ""):
        return fix
    packs = sorted({str(one["rule"]).rpartition("/")[0] for one in objecting})
    return f"ask the owners of the pack{'' if len(packs) == 1 else 's'} {', '.join(packs[:_MOST_PACKS])}".rstrip()


def _uncounted(context: dict[str, Any]) -> str:
    missing = [one["properties"] for one in context["obligations"] if one["type"] == "budget"]
    if any(one.get("per") == "repo" and one.get("spent") is None for one in missing):
        return "say which repository this is (ORCH_REPOSITORY or --repo): a budget counts per repository"
    return "give the missing budget counters; without them nothing may run"


def _wanted(one: dict[str, Any]) -> str:
    given = one["properties"]
    match one["type"]:
        case "approval" if rejecting := given.get("rejected_by"):
            some = " and ".join(rejecting)
            have, lapses = ("has", "it lapses") if len(rejecting) == 1 else ("have", "they lapse")
            what = "the rejection" if len(rejecting) == 1 else "the rejections"
            return f"{some} {have} to take {what} as {given['role']} back (orch revoke), or wait until {lapses}"
        case "approval":
            missing = max(1, given["count"] - given["votes"])
            people = "one person" if missing == 1 else f"{missing} people"
            return f"get the approval of {people} of role {given['role']}"
        case "evidence" if "failed" in given:
            return f"make {given['evidence']} pass, then add the new report (orch evidence add)"
        case "evidence":
            debt = f" for this run's earlier action {given['of'][:19]}, which owes it" if "of" in given else ""
            return f"add evidence of type {given['evidence']}{debt}"
        case _ if "why" in given:
            return _by_the_clock(one["id"].partition(":")[2], given)
        case _:
            return f"bring the run to stage {given['stage']}"


def _by_the_clock(escalation: str, given: dict[str, Any]) -> str:
    if given["why"] == "due":
        return f"enter {given['stage']}, to which {escalation} goes from {given['at']}"
    return f"wait: {escalation} stays at {given['at']}, because {_WHY.get(given['why'], given['why'])}"
