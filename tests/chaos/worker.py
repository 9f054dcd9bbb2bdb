"""The worker of the chaos run: the product's own, with a possible end at each named point."""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path
from typing import Any

from django.conf import settings

from embeddings import ledger
from embeddings.pipeline import settlement
from embeddings.worker import EmbeddingWorker
from tests.chaos.points import Points, after

# A worker that does not end shows where it hangs.
faulthandler.register(signal.SIGUSR2)

points = Points(Path(settings.STAGE["folder"]) / "permits", os.environ.get("CHAOS_WORKER", ""))

after(ledger, "claim", lambda claims: points.reached("claim") if claims else None)
after(ledger, "complete", lambda _: points.reached("settle"))
after(settlement, "settle", lambda _: points.reached("commit"))


class ChaosWorker(EmbeddingWorker):
    """Ends with the run that has started it, however that ends."""

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        if not self.is_horse and os.getppid() != settings.STAGE["pid"]:
            os._exit(1)
        super().heartbeat(*args, **kwargs)

    def execute_job(self, job: Any, queue: Any) -> None:
        points.reached("pop")
        super().execute_job(job, queue)

    def perform_job(self, *args: Any, **kwargs: Any) -> Any:
        points.reached("start")
        return super().perform_job(*args, **kwargs)
