"""What goes into the ledger's transitions and comes out of them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Request:
    """The wish that one object's field be embedded."""

    content_type_id: int
    object_id: str
    field: str
    provider: str
    priority: str
    delay_seconds: float = 0.0
    # Of the present text where it is known; "" asks for a look at the object in any case.
    fingerprint: str = ""


class Claim(NamedTuple):
    """A task in hand. `fingerprint` is that of the text whose vector the column holds."""

    token: uuid.UUID
    id: int
    content_type_id: int
    object_id: str
    field: str
    fingerprint: str
    version: int
    attempts: int
    crashes: int
    # In microseconds since 1970, for comparisons.
    sort_key: int
    # The lane from which it was taken.
    provider: str
    # Of a boxed object, as JSON: somebody's data, so in no log.
    payload: str | None = None

    def __repr__(self) -> str:
        return f"<Claim of task {self.id}>"

    @property
    def is_boxed(self) -> bool:
        return self.payload is not None


class Completion(NamedTuple):
    """A task whose vector was written (`completed`) or nulled for want of text (`empty`)."""

    id: int
    status: str
    fingerprint: str
    tokens_estimated: int
    tokens: int | None
    truncated: bool
    # The vector was there already: what is known of its making stays.
    is_kept: bool = False
