"""A plan drawn: as text for a terminal, as Mermaid, as SVG. Pure; what a plan says is escaped for where it goes."""

from collections.abc import Iterator

from orchestrator.plans.model import Phase, Plan
from orchestrator.plans.order import levels
from orchestrator.words import counted

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 190, 46, 26, 44, 16
_MOST_LETTERS = 24
_HEAD_OF_ARROWS = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>'
)


def text(plan: Plan) -> str:
    """Return the phases by level, what each needs, and what stands behind it."""
    lines = [f"{plan.name} {plan.version}" + (f": {plan.title}" if plan.title else "")]
    found = levels(plan)
    for number, level in enumerate(found, 1):
        lines.append(f"level {number} of {len(found)}")
        for at, name in enumerate(level):
            is_last = at == len(level) - 1
            lines += _branch(plan.phase(name), "└─" if is_last else "├─", "  " if is_last else "│ ")
    return "\n".join(lines) + "\n"


def _branch(phase: Phase, corner: str, bar: str) -> Iterator[str]:
    title = f": {phase.title}" if phase.title else ""
    needs = f"  <- {', '.join(phase.needs)}" if phase.needs else ""
    yield f"{corner} {phase.id}{title}{needs}"
    rows = [f"{step.id}: {step.action}" + (" (if ...)" if step.when else "") for step in phase.steps]
    if phase.success:
        rows.append(f"{counted(len(phase.success), 'criterion', 'criteria')}, then " + gate(phase))
    else:
        rows.append(gate(phase))
    if phase.compensate:
        rows.append("undone by " + ", ".join(step.id for step in phase.compensate))
    for at, row in enumerate(rows):
        yield f"{bar}  {'└─' if at == len(rows) - 1 else '├─'} {row}"


def gate(phase: Phase) -> str:
    """Return in words what opens the gate behind a phase."""
    if phase.gate == "none":
        return "on by itself"
    if phase.gate == "manual":
        return "somebody opens the gate"
    return "on by itself" if phase.success else "somebody opens the gate, unless a pack says auto_approve"


def mermaid(plan: Plan) -> str:
    """Return a Mermaid flowchart: one node a phase, one arrow a need."""
    at = {phase.id: f"p{number}" for number, phase in enumerate(plan.phases)}
    lines = ["flowchart TD"]
    lines += [f'  {at[phase.id]}["{_mermaid_label(phase)}"]' for phase in plan.phases]
    lines += [f"  {at[need]} --> {at[phase.id]}" for phase in plan.phases for need in phase.needs]
    return "\n".join(lines) + "\n"


def _mermaid_label(phase: Phase) -> str:
    said = phase.id + (f"<br/>{_entities(phase.title)}" if phase.title else "")
    return said + ("<br/>(manual gate)" if phase.gate == "manual" else "")


def _entities(given: str) -> str:
    """Return text as Mermaid's entity codes where it could be markup."""
    return "".join(char if char.isalnum() or char in " .,-_/()" else f"#{ord(char)};" for char in given)


def svg(plan: Plan) -> str:
    """Return an SVG picture: a box for each phase, level below level, an arrow for each need."""
    rows = levels(plan)
    widest = max(map(len, rows))
    width = widest * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE
    height = len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE
    boxes = {
        name: _corner(at, row, len(names), width) for row, names in enumerate(rows) for at, name in enumerate(names)
    }
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f"<title>{_xml(plan.title or plan.name)}</title>",
        _HEAD_OF_ARROWS,
    ]
    lines += [_arrow(boxes[need], boxes[phase.id]) for phase in plan.phases for need in phase.needs]
    lines += [line for phase in plan.phases for line in _box(phase, *boxes[phase.id])]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _corner(at: int, row: int, count: int, width: int) -> tuple[int, int]:
    left = (width - count * (_WIDTH + _GAP_X) + _GAP_X) // 2
    return left + at * (_WIDTH + _GAP_X), _EDGE + row * (_HEIGHT + _GAP_Y)


def _arrow(above: tuple[int, int], below: tuple[int, int]) -> str:
    x1, y1 = above[0] + _WIDTH // 2, above[1] + _HEIGHT
    x2, y2 = below[0] + _WIDTH // 2, below[1]
    bend = _GAP_Y // 2
    path = f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="#555" marker-end="url(#a)"/>'


def _box(phase: Phase, x: int, y: int) -> Iterator[str]:
    dashes = ' stroke-dasharray="5 3"' if phase.gate == "manual" else ""
    yield f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#f4f6fa" stroke="#345"{dashes}/>'
    middle = x + _WIDTH // 2
    rows = [("bold", phase.id), ("normal", phase.title)] if phase.title else [("bold", phase.id)]
    for at, (weight, said) in enumerate(rows):
        base = y + _HEIGHT // 2 + 5 + (18 * at - 9 if len(rows) > 1 else 0)
        style = f'font-weight="{weight}" text-anchor="middle" fill="#123"'
        yield f'<text x="{middle}" y="{base}" {style}>{_xml(_cut(said))}</text>'


def _cut(given: str) -> str:
    return given if len(given) <= _MOST_LETTERS else given[: _MOST_LETTERS - 1] + "…"


def _xml(given: str) -> str:
    plain = "".join(char if char.isprintable() else "?" for char in given)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
