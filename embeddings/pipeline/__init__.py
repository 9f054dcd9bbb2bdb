"""From the ledger to the columns: claim tasks, read their texts, ask providers for vectors, settle.

drain        the loop of one job
selection    which tasks are next          claiming   … and when a drain takes them
intake       from tasks to texts           reading    … whatever the database says of some
sending      within quotas                 calling    requests to providers, on threads
remedies     what becomes of a request that gave no vectors
settlement   the fenced write              finishing  … until each task is settled
unboxing     objects that are not stored   storing    … with their vectors
splitting    long texts into chunks, without a provider
hand         what a drain holds
"""

from __future__ import annotations

from embeddings.pipeline.drain import Drain
from embeddings.pipeline.hand import Outcome

__all__ = ["Drain", "Outcome"]
