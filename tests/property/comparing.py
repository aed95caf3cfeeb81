"""Both answers in one plain form, so that a difference can be read."""

from typing import Any

from model import Answer

SHOWN_PATHS = 20


def of_model(answer: Answer) -> dict[str, Any]:
    """Return the model's answer."""
    findings = [
        {
            "rule": found.rule,
            "effect": found.effect,
            "level": found.level,
            "severity": found.severity,
            "mode": found.mode,
            "waived": found.waived,
            "paths": list(found.paths[:SHOWN_PATHS]),
            "path_count": len(found.paths),
        }
        for found in answer.findings
    ]
    obligations = [
        {
            "id": owed.id,
            "type": owed.type,
            "phase": owed.phase,
            "mode": owed.mode,
            "status": owed.status,
            "properties": dict(owed.properties),
        }
        for owed in answer.obligations
    ]
    standing = {"outcome": answer.outcome, "would": answer.would, "reason": answer.reason}
    return standing | {
        "findings": findings,
        "obligations": obligations,
        "advice": [list(each) for each in answer.advice],
    }


def of_engine(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the engine's answer, without what the model does not speak of (messages, fixes, sources, proofs)."""
    findings = [
        {key: value for key, value in found.items() if key not in ("message", "fix", "source", "asks")}
        for found in sorted(answer["findings"], key=lambda each: (each["rule"], each["waived"]))
    ]
    obligations = [
        {key: value for key, value in owed.items() if key != "proof"}
        for owed in sorted(answer["obligations"], key=lambda each: (each["id"], each["mode"]))
    ]
    standing = {key: answer[key] for key in ("outcome", "would", "reason")}
    advice = sorted([each["kind"], _about(each)] for each in answer["advice"])
    return standing | {"findings": findings, "obligations": obligations, "advice": advice}


def _about(advice: dict[str, Any]) -> str:
    return f"{advice['by']}: {advice['why']}" if advice["kind"] == "vote_ignored" else str(advice["obligation"])


def differences(model: dict[str, Any], engine: dict[str, Any]) -> list[str]:
    """Return what differs, a line each."""
    lines = []
    for key, value in model.items():
        if value == engine[key]:
            continue
        if not isinstance(value, list):
            lines.append(f"{key}: model {value}, engine {engine[key]}")
            continue
        lines += [f"{key}: only the model has {each}" for each in value if each not in engine[key]]
        lines += [f"{key}: only the engine has {each}" for each in engine[key] if each not in value]
    return lines
