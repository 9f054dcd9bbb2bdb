"""The RQ worker: `manage.py rqworker embeddings` with RQ = {"WORKER_CLASS": "embeddings.worker.EmbeddingWorker"}.

Besides taking jobs it sweeps: it finds due tasks, expired leases and lost pokes in the ledger, so that nothing else,
no scheduler and no cron, has to run.
"""

from __future__ import annotations

from embeddings.worker.forking import EmbeddingWorker

__all__ = ["EmbeddingWorker"]
