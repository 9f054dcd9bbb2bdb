"""Vectors that were paid for, kept by the fingerprints of their texts: who asks again pays nothing.

The texts are not stored. A fingerprint holds the model and the dimensions too (`text.fingerprint`), so what is found
is what the provider would make.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from embeddings import conf
from embeddings.models import TextVector


@dataclass(frozen=True, slots=True)
class Kept:
    """A vector as little-endian float32 values, and the tokens of its text."""

    vector: bytes
    tokens: int

    @property
    def floats(self) -> tuple[float, ...]:
        return struct.unpack(f"<{len(self.vector) // 4}f", self.vector)


def packed(vector: Collection[Any]) -> bytes:
    """n numbers → n little-endian float32 values; raises OverflowError for a number that is too large for one."""
    return struct.pack(f"<{len(vector)}f", *vector)


def find(fingerprints: Collection[str]) -> dict[str, Kept]:
    """What is kept, by fingerprint, in one statement."""
    rows = TextVector.objects.using(_database()).filter(pk__in=list(fingerprints))
    return {
        fingerprint: Kept(bytes(vector), tokens)
        for fingerprint, vector, tokens in rows.values_list("fingerprint", "vector", "tokens")
    }


def keep(made: Mapping[str, Kept]) -> None:
    """Keep vectors, by fingerprint, in one statement; what is there already stays.

    In the order of the fingerprints, so that two who keep the same never wait for each other.
    """
    rows = [TextVector(fingerprint=key, vector=kept.vector, tokens=kept.tokens) for key, kept in sorted(made.items())]
    TextVector.objects.using(_database()).bulk_create(rows, ignore_conflicts=True)


def _database() -> str:
    return conf.current().databases[0]
