"""`orch sidecar`: the OPA processes that answer, seen and ended."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator.sidecar import SidecarState


@click.group(short_help="Look at and stop the OPA processes that answer.")
def sidecar() -> None:
    """Look at and stop the OPA processes that answer.

    One runs for each bundle in use; it is started on demand, and ends after 15 minutes without a request.
    """


@sidecar.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(output: str) -> None:
    """Show the sidecars that run."""
    from orchestrator.sidecar import status as states

    click.echo(_json(states()) if output == "json" else _table(states()))


@sidecar.command()
@click.argument("digest", required=False)
@click.option("--all", "every", is_flag=True, help="Stop every sidecar of this user.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def stop(digest: str | None, output: str, *, every: bool) -> None:
    """Stop the sidecar of policy DIGEST (its first digits do), or all of them.

    Nothing is lost: whoever asks next starts another.
    """
    if every == (digest is not None):
        raise click.UsageError("name either a DIGEST or --all")
    from orchestrator.sidecar import stop as stopped

    ended = stopped(digest)
    click.echo(_json(ended) if output == "json" else _ended(ended))


def _json(states: "list[SidecarState]") -> str:
    return json.dumps(
        [
            {
                "digest": state.digest,
                "pid": state.pid,
                "watcher_pid": state.watcher_pid,
                "uptime_s": state.uptime_s,
                "idle_s": state.idle_s,
                "idle_limit_s": state.idle_limit_s,
                "socket": str(state.socket),
                "memory_bytes": state.memory_bytes,
                "opa_version": state.opa_version,
            }
            for state in states
        ],
        indent=2,
    )


def _table(states: "list[SidecarState]") -> str:
    if not states:
        return "no sidecar runs"
    rows = [("POLICY", "PID", "UP", "IDLE", "MEMORY", "OPA")]
    rows += [
        (
            state.digest.removeprefix("sha256:")[:12],
            str(state.pid),
            _duration(state.uptime_s),
            _duration(state.idle_s),
            f"{state.memory_bytes / 2**20:.0f} MB" if state.memory_bytes else "unknown",
            _health(state),
        )
        for state in states
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _health(state: "SidecarState") -> str:
    if not state.opa_version:
        return "does not answer"
    return state.opa_version if state.watcher_pid else f"{state.opa_version}, left over: stop it"


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s" if minutes else f"{rest}s"


def _ended(states: "list[SidecarState]") -> str:
    if not states:
        return "no such sidecar runs"
    return "\n".join(f"stopped {state.digest.removeprefix('sha256:')[:12]} (process {state.pid})" for state in states)
