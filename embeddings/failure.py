"""A failed attempt as it is recorded: kind, class, message, and a signature that groups equal failures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import DatabaseError, DataError, IntegrityError

from embeddings.exceptions import ProviderError, SourceError

_MAX_MESSAGE = 1000
_MAX_SIGNATURE = 255
_VARYING = re.compile(r"""'[^']*'|"[^"]*"|\b[0-9a-f]{8}-[0-9a-f-]{27,}\b|\b[0-9a-f]{12,}\b|\d+(?:\.\d+)?""", re.I)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed."""

    kind: str
    error_class: str
    message: str

    @classmethod
    def of(cls, exc: Exception) -> Failure:
        """The record of an exception; one that no provider should raise counts as transient."""
        match exc:
            case ProviderError() | SourceError():
                kind = exc.kind
            case IntegrityError() | DataError():
                kind = "input"
            case _:
                kind = "transient"
        message = str(exc) or type(exc).__name__
        if isinstance(exc, DatabaseError):
            message = message.splitlines()[0]  # the lines below quote the row
        # Without what PostgreSQL does not store: NUL and lone surrogates.
        message = message.replace("\0", "").encode(errors="replace").decode()
        return cls(kind, type(exc).__name__, message[:_MAX_MESSAGE])

    def columns(self) -> dict[str, str]:
        """As the columns of a task."""
        return {
            "error_kind": self.kind,
            "error_class": self.error_class,
            "error_message": self.message,
            "error_signature": self.signature,
        }

    @property
    def signature(self) -> str:
        """Kind, class and the message without what differs from one object to the next."""
        return f"{self.kind}: {self.error_class}: {_VARYING.sub('…', self.message)}"[:_MAX_SIGNATURE]
