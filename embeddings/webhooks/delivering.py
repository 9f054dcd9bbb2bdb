"""The job of a deliverer's poke: events become deliveries, and what is due is sent, several at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from embeddings import conf, events, jobs, timeouts
from embeddings.webhooks import collecting, deliveries, endpoints, packages, sending
from embeddings.webhooks.deliveries import Claim
from embeddings.webhooks.sending import Result

logger = logging.getLogger(__name__)

# Nothing more is begun after this, so that a slow receiver does not keep a worker from embedding for long.
SECONDS = 2.0
# Messages on their way at once.
THREADS = 10
# How soon somebody who asks to hurry is heard.
HURRY_SECONDS = 0.2


def deliver() -> None:
    """The job of a poke."""
    worker, stop = jobs.begin(jobs.DELIVER)
    if packages.missing():
        logger.error("Webhooks cannot be sent without %s: %s", " and ".join(packages.missing()), packages.INSTALL)
        return
    deliverer = Deliverer(worker, seconds=SECONDS, stop=stop, hurry=jobs.hurry_requested.is_set)
    deliverer.run()
    # Who had time and sent nothing would find nothing again: another worker is busy with the endpoints of what is due.
    if (deliverer.sent or deliverer.is_over()) and not stop() and are_due():
        jobs.poke_deliverer(is_coalesced=False)


def are_due() -> bool:
    """Whether a deliverer would find something to do."""
    if packages.missing():
        return False
    return events.is_anything_due()


class Deliverer:
    """Sends until nothing is due, its time is over, or it is stopped. The database is the calling thread's alone."""

    def __init__(
        self,
        worker: str,
        *,
        seconds: float = float("inf"),
        stop: Callable[[], bool] = lambda: False,
        hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        self.worker = worker
        self.sent = 0
        self._deadline = time.monotonic() + seconds
        self._stop = stop
        self._hurry = hurry
        self._flying: dict[Future[Result], Claim] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="embeddings-webhook")

    def run(self) -> int:
        """Returns how many attempts were made."""
        try:
            with timeouts.bounded(conf.current().databases):
                self._prepare()
                while self._begin() or self._flying:
                    self._settle()
                    if self._hurry():
                        break
        finally:
            self._let_go()
        return self.sent

    def _prepare(self) -> None:
        deliveries.rescue()
        deliveries.cancel_strays()
        for using in conf.current().databases:
            while collecting.collect(using) and not self.is_over():
                pass

    def is_over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._stop() or time.monotonic() >= self._deadline

    def _begin(self) -> int:
        """Send what is due, as far as there are threads."""
        room = THREADS - len(self._flying)
        if not room or self.is_over():
            return 0
        claims = deliveries.claim(room, worker=self.worker)
        for claim in claims:
            self._flying[self._threads.submit(_send, claim)] = claim
        return len(claims)

    def _settle(self) -> None:
        """Wait for an answer, and record all that there are."""
        done, _ = wait(self._flying, timeout=HURRY_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            claim, result = self._flying.pop(future), future.result()
            self.sent += 1
            if deliveries.settle(claim, result) and not result.is_delivered:
                endpoints.disable_if_hopeless(claim.endpoint, is_gone=result.is_gone)
            logger.info(
                "Webhook %s to endpoint %s: %s",
                claim.delivery.message_id,
                claim.endpoint.pk,
                result.status or "no answer",
            )

    def _let_go(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._flying:
            deliveries.release(list(self._flying.values()))
            self._flying.clear()


def _send(claim: Claim) -> Result:
    """On a thread of its own, without the database. Whatever goes wrong is one failed attempt."""
    started = time.monotonic()
    try:
        return sending.send(
            claim.endpoint.url,
            claim.delivery.message_id,
            claim.delivery.payload,
            endpoints.valid_secrets(claim.endpoint),
            seconds=conf.current().webhook_timeout_seconds,
        )
    except Exception as exc:
        logger.exception("A webhook could not be sent.")
        return Result(time.monotonic() - started, error=f"It could not be sent: {type(exc).__name__}.")
