"""Texts for people out of Jinja2 templates, rendered once before anything is decided. Text only, never policy.

`NAME` is a file of the operator's templates folder, else of the workspace's `templates/`. Its block `subject` gives the
subject; its block `body`, or all of it where it has none, gives the body; a file of the same name that ends in `.html`
beside it gives the HTML part. What a template names must be given, and it can reach nothing else.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.names import path_problem, shown
from orchestrator_adapters import inside

if TYPE_CHECKING:
    from jinja2 import Environment, Template

FOLDER = "templates"
"""The workspace's folder of templates."""
MAX_TEXT = 1_000_000
"""Longest text that a template may give, in characters."""
_MAX_REPEATS = 100_000


class Texts(NamedTuple):
    """What a template gave."""

    subject: str | None
    body: str
    html: str | None


def rendered(name: str, values: Mapping[str, Any], *, root: Path, own_folder: str = "") -> Texts:
    """Return the texts of a template with the given values.

    Raises:
        UsageError: there is no such template, it is wrong, it names what is not given, or it gives too much.
    """
    if expected := path_problem(name):
        raise UsageError(f"the template is {shown(name)}; expected {expected}")
    folders = [Path(own_folder).expanduser().resolve()] if own_folder else []
    folders.append(root / FOLDER)
    environment = _environment(folders)
    html_name = str(PurePosixPath(name).with_suffix(".html"))
    template = _template(environment, name)
    if template is None:
        places = " or ".join(shown(str(one)) for one in folders)
        raise UsageError(f"there is no template {shown(name)} in {places}", advice="templates are plain files there")
    subject = _block(template, "subject", values, name)
    body = _block(template, "body", values, name)
    page = _template(environment, html_name) if html_name != name else None
    return Texts(
        subject.strip() if subject is not None else None,
        body if body is not None else _all_of(template, values, name),
        _all_of(page, values, html_name) if page is not None else None,
    )


def _environment(folders: list[Path]) -> "Environment":
    from jinja2 import FunctionLoader, StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class _Bounded(ImmutableSandboxedEnvironment):
        """No text or list is made endless by a `*`."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401  # as there
            numbers = [one for one in (left, right) if isinstance(one, int)]
            if any(abs(one) > _MAX_REPEATS for one in numbers):
                raise SecurityError(f"{operator} with a number beyond {_MAX_REPEATS:,}")
            return super().call_binop(context, operator, left, right)

    def load(name: str) -> str | None:
        for folder in folders if not path_problem(name) else []:
            if os.path.lexists(folder / name):
                return inside.read(folder, name)[0].decode()
        return None

    return _Bounded(
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        autoescape=lambda name: bool(name and name.endswith(".html")),
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _template(environment: "Environment", name: str) -> "Template | None":
    from jinja2 import TemplateError, TemplateNotFound

    try:
        return environment.get_template(name)
    except TemplateNotFound as error:
        if error.name == name:
            return None
        raise _wrong(name, error) from error
    except (TemplateError, UnicodeDecodeError) as error:
        raise _wrong(name, error) from error


def _block(template: "Template", block: str, values: Mapping[str, Any], name: str) -> str | None:
    if block not in template.blocks:
        return None
    return _joined(lambda: template.blocks[block](template.new_context(dict(values))), name)


def _all_of(template: "Template", values: Mapping[str, Any], name: str) -> str:
    return _joined(lambda: template.generate(dict(values)), name)


def _joined(parts: Any, name: str) -> str:  # noqa: ANN401  # a function that gives texts
    """Return the texts as one; stops as soon as it is too long."""
    from jinja2 import TemplateError

    texts, length = [], 0
    try:
        for part in parts():
            length += len(part)
            if length > MAX_TEXT:
                raise UsageError(f"the template {shown(name)} gives more than {MAX_TEXT:,} characters")
            texts.append(part)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise _wrong(name, error) from error
    except (RecursionError, MemoryError) as error:
        raise UsageError(f"the template {shown(name)} cannot be rendered: {type(error).__name__}") from error
    return "".join(texts)


def _wrong(name: str, error: Exception) -> UsageError:
    line = f", line {number}" if (number := getattr(error, "lineno", None)) else ""
    advice = "give it under `values`" if "undefined" in str(error) else ""
    return UsageError(f"the template {shown(name)}{line} cannot be rendered: {error!s:.200}", advice=advice)
