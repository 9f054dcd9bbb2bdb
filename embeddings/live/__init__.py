"""Settings that operators change while the processes run: one row over EMBEDDINGS, and one a provider for its quotas.

`conf` says what is in force; this is how it comes to know, and how it is changed.
"""

from __future__ import annotations

from embeddings.live.changing import OUTDATED, change
from embeddings.live.reading import NAMES, PATIENT_SECONDS, QUOTAS, forget, refresh
from embeddings.live.wording import Changes, default, default_quota, sentence, shown

__all__ = [
    "NAMES",
    "OUTDATED",
    "PATIENT_SECONDS",
    "QUOTAS",
    "Changes",
    "change",
    "default",
    "default_quota",
    "forget",
    "refresh",
    "sentence",
    "shown",
]
