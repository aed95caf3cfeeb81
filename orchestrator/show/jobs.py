"""Jobs of the operator's file as a person reads them, and as JSON."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from orchestrator.jobs import Job
from orchestrator.runs.listing import Listed
from orchestrator.show.escape import json_text
from orchestrator.show.timeline import Page, ago, wrapped


class Row(NamedTuple):
    """A job, and its newest run."""

    job: Job
    last: Listed | None
    """None where it never ran, or there is no ledger."""


def write_json(rows: Sequence[Row], out: TextIO) -> None:
    """Write jobs as an array."""
    out.write(json_text([_json(row) for row in rows], indent=2) + "\n")


def write(rows: Sequence[Row], out: TextIO, page: Page) -> None:
    """Write jobs: name and what each is for, its command, and how it went last."""
    if not rows:
        out.write("no jobs; add them below `jobs:` of the operator's file (orch doctor says where that lies)\n")
    for row in rows:
        job, last = row
        title = f"{page.paint('bold', job.name)}  {page.say(job.description)}".rstrip()
        out.write(title + "\n")
        for label, text in (
            ("runs", shlex.join(job.argv)),
            ("in", job.cwd),
            ("last", _last(last, page) if last else "never"),
        ):
            if text:
                first, *rest = wrapped(page.say(text), page.width, 8, 8)
                out.write(f"  {page.paint('dim', label.ljust(5))} {first}\n")
                out.writelines(f"{' ' * 8}{one}\n" for one in rest)


def _last(last: Listed, page: Page) -> str:
    return ", ".join(filter(None, (last.state, ago(last.started_at, page.now_ns), last.run_id)))


def _json(row: Row) -> dict[str, Any]:
    job, last = row
    said: dict[str, Any] = job._asdict()
    environment: Mapping[str, str] = job.env
    said |= {"argv": list(job.argv), "env": sorted(environment), "retry": dict(job.retry), "errors": dict(job.errors)}
    return {**said, "last": last.to_json() if last else None}
