"""Pictures of a plan: what it says cannot become markup of the picture."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from orchestrator.plans.drawing import mermaid, svg, text
from orchestrator.plans.model import Phase, Plan, Step
from orchestrator.plans.read import read_plan

HOSTILE = 'x"]; click p0 "javascript:alert(1)" <b>&\x1b[31m'
PLAN = Plan(
    "p",
    (
        Phase("a", HOSTILE, steps=(Step("s", "run_command"),)),
        Phase("b", "Second", ("a",), gate="manual", compensate=(Step("u", "run_command"),)),
        Phase("c", needs=("a",)),
    ),
    title=HOSTILE,
)
STARTER = Path(__file__).parents[1] / "plans_002"


def test_text_shows_levels_needs_and_gates() -> None:
    assert text(PLAN).splitlines()[1:] == [
        "level 1 of 2",
        f"└─ a: {HOSTILE}",
        "    ├─ s: run_command",
        "    └─ somebody opens the gate, unless a pack says auto_approve",
        "level 2 of 2",
        "├─ b: Second  <- a",
        "│   ├─ somebody opens the gate",
        "│   └─ undone by u",
        "└─ c  <- a",
        "    └─ somebody opens the gate, unless a pack says auto_approve",
    ]


def test_a_title_stays_within_its_box_of_mermaid() -> None:
    lines = mermaid(PLAN).splitlines()

    assert lines[0] == "flowchart TD"
    assert re.fullmatch(r'  p0\["a<br/>[\w #;:.,/()-]*"\]', lines[1])
    assert lines[2:] == ['  p1["b<br/>Second<br/>(manual gate)"]', '  p2["c"]', "  p0 --> p1", "  p0 --> p2"]


def test_an_svg_is_xml_with_a_box_for_each_phase_and_an_arrow_for_each_need() -> None:
    root = ET.fromstring(svg(PLAN))  # noqa: S314  # our own
    name = "{http://www.w3.org/2000/svg}"

    assert len(root.findall(f"{name}rect")) == 3
    assert len(root.findall(f"{name}path")) == 2
    assert not root.findall(f".//{name}b")


def test_boxes_of_one_level_do_not_touch(tmp_path: Path) -> None:
    names = [f"p{at}" for at in range(5)]
    file = tmp_path / "p.yaml"
    phases = "".join(f"  - {{id: {name}, gate: manual}}\n" for name in names)
    file.write_text(f"apiVersion: orch/v1\nkind: Plan\nmetadata: {{name: p}}\nphases:\n{phases}")

    root = ET.fromstring(svg(read_plan(file)))  # noqa: S314  # our own

    left = sorted(int(box.attrib["x"]) for box in root.findall("{http://www.w3.org/2000/svg}rect"))
    assert all(following - one > 190 for one, following in pairwise(left))
    assert left[0] > 0
