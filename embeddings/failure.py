"""A failed attempt as it is recorded: kind, class, message, and a signature that groups equal failures."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError

from embeddings.exceptions import BoxError, ProviderError, SourceError
from embeddings.signature import without_particulars

_MAX_MESSAGE = 1000
_MAX_SIGNATURE = 255

# So much of somebody's text in a message is a quotation of it, also without quotation marks.
_QUOTATION = 16
_QUOTED = re.compile(r"""(['"`])(.{3,}?)\1|“(.{3,}?)”""", re.S)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed."""

    kind: str
    error_class: str
    message: str
    # The object that it is about, if it is about one: "content.Article 12".
    about: str = ""
    # Of the provider's answer, if it was one of HTTP.
    status: int | None = None

    @classmethod
    def of(cls, exc: Exception, *, about: str = "", private: Collection[str] = ()) -> Failure:
        """The record of an exception; one that no provider should raise counts as transient.

        `about` names the one object that is to blame. What the message quotes of the `private` texts is left out:
        operators may see it who may not see the objects.
        """
        match exc:
            case ProviderError() | SourceError() | BoxError():
                kind = exc.kind
            case IntegrityError() | DataError():
                kind = "input"
            case _:
                kind = "transient"
        message = str(exc) or type(exc).__name__
        if isinstance(exc, DatabaseError):
            message = message.splitlines()[0]  # the lines below quote the row
        message = ": ".join([*getattr(exc, "__notes__", ()), message]).removeprefix(f"{about}: ")
        message = without_quotations(message[: 2 * _MAX_MESSAGE], private)
        # Without what PostgreSQL does not store: NUL and lone surrogates.
        message = message.replace("\0", "").encode(errors="replace").decode()
        status = exc.http_status if isinstance(exc, ProviderError) else None
        return cls(kind, type(exc).__name__, message[:_MAX_MESSAGE], about, status)

    def columns(self) -> dict[str, Any]:
        """As the columns of a task."""
        return {
            "error_kind": self.kind,
            "error_class": self.error_class,
            "error_message": (f"{self.about}: {self.message}" if self.about else self.message)[:_MAX_MESSAGE],
            "error_signature": self.signature,
            "error_status": self.status,
        }

    @property
    def signature(self) -> str:
        """Kind, class, HTTP status and the message without what differs from one object to the next."""
        error = self.error_class if self.status is None else f"{self.error_class} {self.status}"
        message = self.message.replace(self.about, "…") if self.about else self.message
        return f"{self.kind}: {error}: {without_particulars(message)}"[:_MAX_SIGNATURE]


def without_quotations(message: str, private: Collection[str]) -> str:
    """`message` with "…" for what it quotes of these texts: anything between quotation marks, and longer passages."""
    if not private:
        return message
    plain = "\0".join(private)
    known = f"{plain}\0{plain.encode('unicode_escape').decode()}"  # as Python and JSON quote it, too
    message = _QUOTED.sub(lambda match: "'…'" if (match[2] or match[3]) in known else match[0], message)
    kept: list[str] = []
    start = 0
    while start < len(message):
        stop = start + _QUOTATION
        if stop > len(message) or message[start:stop] not in known:
            kept.append(message[start])
            start += 1
            continue
        while stop < len(message) and message[start : stop + 1] in known:
            stop += 1
        kept.append("…")
        start = stop
    return "".join(kept)
