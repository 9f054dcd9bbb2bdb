"""The modes of a search, and the sizes of its parts."""

from __future__ import annotations

from typing import Literal

SearchMode = Literal["semantic", "keyword", "hybrid"]

# Rows that each part of a search contributes at most.
CANDIDATES = 100
# The usual constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
RRF_K = 60
# A search by words looks for most of them first, and for any only when fewer rows than this have most.
TOO_FEW = 20
