"""From a long text to the rows of its chunks.

pieces       where a text is cut       matching    which chunks stay as they are
rows         the chunk model's table

What a project declares is in `embeddings.chunks`.
"""

from __future__ import annotations
