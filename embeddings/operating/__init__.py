"""Operations in the background: begun in `embeddings.operations`, gone on with by workers, page by page.

operator   one job's share of the work     kinds   what a page of each kind of operation is
rows       pages of a model's rows
"""

from __future__ import annotations

from embeddings.operating.operator import Operator, operate

__all__ = ["Operator", "operate"]
