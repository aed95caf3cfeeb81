"""Decisions as SARIF 2.1.0, for code scanning: a result for each objection and file. Spooled: rules precede results.

Only what blocks is an `error`; warning packs give `warning`, advisory rules `note`, and waived findings are suppressed
results. Allowed requests nobody objects to give no result.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, TextIO
from urllib.parse import quote

from orchestrator.choices import Reason
from orchestrator.decision import Decision
from orchestrator.show import Options, wording
from orchestrator.show.escape import json_text, visible
from orchestrator.show.notice import Notice, notices, place_in_repository
from orchestrator.show.spool import Spool
from orchestrator.words import counted

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SECURITY_SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}
"""In the middle of the bands that code scanning calls by the same names; `info` has none."""
_NOTIFICATIONS_SHOWN = 20
_NO_FILE = "no file associated with this request"


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write one log with one run once all of `decisions` are read.

    Raises:
        OrchError: the temporary folder is full or cannot be written.
        BrokenPipeError: the reader has gone.
    """
    rules: dict[str, tuple[int, dict[str, Any]]] = {}
    undecided: list[str] = []
    with Spool() as results:
        for decision in decisions:
            if decision.reason is Reason.UNDECIDABLE and len(undecided) < _NOTIFICATIONS_SHOWN:
                undecided.append(decision.label or wording.asked(decision.request).action)
            for notice in notices(decision):
                for result in _results(notice, decision, _index(rules, notice)):
                    results.write((",\n" if results.size_bytes else "") + json_text(result))
        out.write(f'{{"$schema":"{SCHEMA}","version":"2.1.0","runs":[{{"tool":{{"driver":')
        out.write(
            json_text({"name": "orch", "version": options.version, "rules": [rule for _, rule in rules.values()]})
        )
        out.write(
            f'}},"columnKind":"unicodeCodePoints","invocations":[{json_text(_invocation(undecided))}],"results":[\n'
        )
        results.copy_to(out)
        out.write("\n]}]}\n")


def _index(rules: dict[str, tuple[int, dict[str, Any]]], notice: Notice) -> int:
    """Return the place of the notice's rule in the driver's list, adding it when it is new."""
    if notice.rule not in rules:
        rules[notice.rule] = len(rules), _rule(notice)
    return rules[notice.rule][0]


def _rule(notice: Notice) -> dict[str, Any]:
    """Return what is said of a rule, whatever request it judged."""
    name, place = visible(notice.rule), f" It is defined at {visible(notice.source)}." if notice.source else ""
    properties: dict[str, Any] = {"tags": ["policy", "security"]}
    if notice.severity in _SECURITY_SEVERITY:
        properties["security-severity"] = _SECURITY_SEVERITY[notice.severity]
    return {
        "id": name,
        "shortDescription": {"text": _message(f"Policy rule {name}")},
        "fullDescription": {"text": _message(f"An action was judged by the policy rule {name}.{place}")},
        "help": {"text": _message(f"The rule {name} objects.{place} `orch evaluate --explain` tells why it matches.")},
        "defaultConfiguration": {"level": "note" if notice.kind == "advisory" else "error"},
        "properties": properties,
    }


def _results(notice: Notice, decision: Decision, index: int) -> Iterator[dict[str, Any]]:
    """Give a result for each file of `notice`, or one at the rule's own place."""
    result: dict[str, Any] = {
        "ruleId": visible(notice.rule),
        "ruleIndex": index,
        "kind": "fail",
        "level": "error" if notice.kind == "waived" else notice.level,
        "message": {"text": _message(_text(notice, decision))},
        "properties": {
            "kind": notice.kind,
            "outcome": decision.outcome.value,
            "would": decision.would.value,
            "severity": visible(notice.severity),
            **({"request": visible(decision.label)} if decision.label else {}),
        },
    }
    if notice.kind == "waived":
        justification = "A waiver of the organisation lifts this rule here."
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    for path in notice.paths or ("",):
        yield {
            **result,
            "locations": _locations(path, decision, notice.source),
            "partialFingerprints": {"orchFinding/v1": _fingerprint(notice, decision, path)},
        }


def _text(notice: Notice, decision: Decision) -> str:
    """Return the message: what is wrong, for which request, and the fix."""
    who = wording.asked(decision.request)
    what = " ".join(filter(None, (who.subject, who.action, who.resource, who.place)))
    lines = [visible(" ".join(notice.message.split())), f"Request: {visible(what)}"]
    if notice.unlisted:
        lines.append(f"And {counted(notice.unlisted, 'more file')}.")
    if notice.fix:
        lines.append(f"Fix: {visible(notice.fix)}")
    return "\n".join(lines)


def _message(text: str) -> str:
    """Return `text` as a SARIF message: braces doubled as the standard asks, and no embedded link."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _locations(path: str, decision: Decision, source: str) -> list[dict[str, Any]]:
    """Return where to show a result: file, else rule, else request; code scanning refuses a log that lacks one."""
    file, line = (path, 1) if path else _place(source) or place_in_repository(decision.label) or (_NO_FILE, 1)
    place = {"artifactLocation": {"uri": _uri(file)}, "region": {"startLine": line}}
    resource = visible(wording.asked(decision.request).resource)
    logical = {"logicalLocations": [{"fullyQualifiedName": resource, "kind": "resource"}]} if resource else {}
    return [{"physicalLocation": place, **logical}]


def _place(source: str) -> tuple[str, int] | None:
    file, _, line = source.rpartition(":")
    return (file, max(1, int(line))) if file and line.isascii() and line.isdecimal() else None


def _uri(path: str) -> str:
    """Return `path` as a relative URI, or as a `file:` URI if it is absolute."""
    quoted = quote(path.encode("utf-8", "surrogatepass"), safe="/")
    return f"file://{quoted}" if quoted.startswith("/") else quoted


def _fingerprint(notice: Notice, decision: Decision, path: str) -> str:
    """Return what stays the same from run to run: the rule, who asked for what, and the file."""
    who = wording.asked(decision.request)
    parts = (notice.rule, who.subject, who.action, who.resource, who.branch, path)
    return hashlib.sha256(json_text(parts).encode()).hexdigest()


def _invocation(undecided: list[str]) -> dict[str, Any]:
    """Return how the run went; where a request could not be judged it did not go well."""
    if not undecided:
        return {"executionSuccessful": True}
    said = [{"level": "error", "message": {"text": _message(f"Undecidable: {visible(label)}")}} for label in undecided]
    return {"executionSuccessful": False, "toolExecutionNotifications": said}
