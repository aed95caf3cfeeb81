"""Hides secrets before anything is hashed or written. What is hidden, and what cannot be, is in docs/secrets.md.

A value is written out once and searched for anything suspicious; only where there is something is it walked through,
by `masking`. Part of the hot path.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.digest import canonical
from orchestrator.errors import LedgerError
from orchestrator.ledger.needles import secrets_of, with_values
from orchestrator.ledger.search import Hits, hits_in_json, hits_in_text, written

_UTF8_BYTES = 4 * 1024 * 1024
"""Larger data is searched byte by byte: as text it may take four times the memory."""


class Mask(NamedTuple):
    """What is hidden: values of the environment that are secret by name, and texts that look like credentials."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Mask":
        """Return the mask of an environment."""
        return cls(secrets_of(environ))

    def knowing(self, values: Iterable[str]) -> "Mask":
        """Return a mask that hides these values, too.

        Raises:
            ValueError: one is too short to be hidden.
        """
        return Mask(with_values(self.secrets, values))

    def value(self, value: Any) -> Any:  # noqa: ANN401  # JSON
        """Return a JSON value with every secret in it hidden, at any depth, in values and keys.

        Where there is none, that is the value itself, else another one.

        Raises:
            LedgerError: it cannot be searched; it must not be written then.
        """
        try:
            return _hidden(value, hits_in_json(written(value), self.secrets))
        except Exception as error:
            raise _failed(error) from error

    def value_and_bytes(self, value: Any) -> tuple[Any, bytes]:  # noqa: ANN401  # JSON
        """Return what `value` gives, and its canonical bytes: written out once where nothing is to be hidden.

        Raises:
            LedgerError: as `value`.
            ValueError: it has no canonical form, with its secrets hidden.
        """
        try:
            body = canonical(value)
        except ValueError:  # what has no form may be a secret
            hidden = self.value(value)
            return hidden, canonical(hidden)
        try:
            hidden = _hidden(value, hits_in_json(body.decode(), self.secrets))
        except Exception as error:
            raise _failed(error) from error
        return hidden, body if hidden is value else canonical(hidden)

    def text(self, text: str) -> str:
        """Return a text with every secret in it hidden.

        Raises:
            LedgerError: it cannot be searched.
        """
        try:
            if not (hits := hits_in_text(text, self.secrets)):
                return text
            from orchestrator.ledger.masking import masked_text

            return masked_text(text, hits)
        except Exception as error:
            raise _failed(error) from error

    def data(self, data: bytes) -> bytes:
        """Return bytes with every secret in them hidden: in text, and as far as they can be seen in anything else.

        Raises:
            LedgerError: they cannot be searched.
        """
        try:
            if len(data) <= _UTF8_BYTES and b"\0" not in data:
                try:
                    return self.text(data.decode()).encode()
                except UnicodeDecodeError:
                    pass
            from orchestrator.ledger.masking import masked_wide, seen_as_bytes

            text = data.decode("latin-1")
            hidden = Mask(seen_as_bytes(self.secrets)).text(text).encode("latin-1")
            return masked_wide(hidden, self.secrets) if b"\0" in hidden else hidden
        except LedgerError:
            raise
        except Exception as error:
            raise _failed(error) from error


def _hidden(value: Any, hits: Hits) -> Any:  # noqa: ANN401  # JSON
    if not hits:
        return value
    from orchestrator.ledger.masking import masked_value

    return masked_value(value, hits)


def _failed(error: Exception) -> LedgerError:
    return LedgerError(
        f"this cannot be recorded: it cannot be searched for secrets ({type(error).__name__})",
        advice="nothing was written; see that it is plain JSON, and not nested deeply",
    )
