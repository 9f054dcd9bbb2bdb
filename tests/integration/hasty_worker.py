"""A worker that takes a child for stuck a second after its start."""

from __future__ import annotations

import time
from typing import Any

from embeddings.worker import EmbeddingWorker


class HastyWorker(EmbeddingWorker):
    def fork_work_horse(self, job: Any, queue: Any) -> None:
        super().fork_work_horse(job, queue)
        self._child_ends_by = time.monotonic() + 1
