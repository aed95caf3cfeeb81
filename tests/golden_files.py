"""Golden files: what a person or a machine sees, kept under `tests/golden/` and compared to the byte.

`ORCH_GOLDEN=1 pytest` (or `make golden`) writes them anew; read the difference before committing it.
"""

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
_IS_REWRITING = bool(os.environ.get("ORCH_GOLDEN"))
"""Read on import: a test's own environment has none of ORCH_*."""
_PLACEHOLDERS = (
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "<TIME>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<ID>"),
)


def with_placeholders(text: str, **known: object) -> str:
    """Return `text` with times and ids replaced, and each of `known` (`folder=tmp_path`) by its name: `<FOLDER>`."""
    for name, value in sorted(known.items(), key=lambda item: -len(str(item[1]))):
        text = text.replace(str(value), f"<{name.upper()}>")
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    return text


def check(name: str, text: str, **known: object) -> None:
    """Hold `text` to the golden file `name`, or write that file where golden files are written anew."""
    file, shown = FOLDER / name, with_placeholders(text, **known)
    if _IS_REWRITING:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown, encoding="utf-8", newline="")
    assert file.exists(), f"no golden file {name}; write it with ORCH_GOLDEN=1"
    expected = file.read_bytes().decode()
    assert shown == expected
