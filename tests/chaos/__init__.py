"""The chaos run: a backfill that survives killed workers, lost servers, edits and a bad provider, and a table of it.

`python -m tests.chaos --rows 2000 --kills 20 --seed 1`. It starts a PostgreSQL, a Valkey, a provider and three workers
of its own, and ends them. The same seed makes the same decisions; their timing is the machine's.
"""

from __future__ import annotations
