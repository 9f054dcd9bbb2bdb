"""The loop of a supervisor: see who has ended, look what there is to do, decide, say so; obey signals."""

from __future__ import annotations

import logging
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from embeddings import conf
from embeddings.scaling import policy
from embeddings.scaling.crew import Crew
from embeddings.scaling.lookout import Lookout
from embeddings.scaling.policy import Bounds, Decision, Load
from embeddings.scaling.signals import Inbox, Interrupted
from embeddings.worker.databases import connect_anew, drop_pools

logger = logging.getLogger(__name__)

# How often is looked what there is to do, and after those that are ending.
POLL_SECONDS = 1.0
# A terminal and a process manager may both send the same request to stop.
SAME_SIGNAL_SECONDS = 1.0
# Why nothing changes is said again after so long.
REPEAT_SECONDS = 600.0

STOP = (signal.SIGTERM, signal.SIGINT)
RENEW, DESCRIBE = signal.SIGHUP, signal.SIGUSR1


class Supervisor:
    """Keeps as many workers as the backlog needs, until it is told to stop."""

    def __init__(self, command: Sequence[str], bounds: Bounds) -> None:
        """`command` starts one worker; a name is added to it."""
        self._bounds = bounds
        self._crew = Crew(command, lambda: conf.current().grace_seconds)
        self._lookout = Lookout(self._crew)
        self._load = Load()
        self._surplus_from: float | None = None
        # {what was said, without its figures: when}
        self._said: dict[str, float] = {}
        self._asked_at = float("-inf")
        self._is_stopping = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; returns 0, or 1 if a worker had to be killed. To be called in the main thread."""
        drop_pools()
        inbox = Inbox((*STOP, RENEW, DESCRIBE))
        logger.info("Keeping %s to %s workers.", self._bounds.fewest, self._bounds.most)
        try:
            while not self._is_stopping:
                self._turn(inbox)
                self._obey(inbox.wait(POLL_SECONDS))
            self._crew.dismiss_all()
            while self._crew.living:
                self._obey(inbox.wait(POLL_SECONDS))
                self._crew.tend(self._bounds.most)
        finally:
            inbox.close()
        logger.info("All workers have ended.")
        return 1 if self._crew.was_killed else 0

    def _turn(self, inbox: Inbox) -> None:
        self._crew.tend(self._bounds.most)
        try:
            with inbox.interrupting():
                found = self._lookout.look()
        except Interrupted:
            connect_anew()  # It came in the middle of a query.
            return
        if found is not None:
            self._decide(found)
        else:  # So many there are to be, whatever there is to do.
            self._crew.add(self._bounds.fewest - len(self._crew.places))
        self._renew_next()
        self._crew.tend(self._bounds.most)

    # Deciding.

    def _decide(self, load: Load) -> None:
        now = time.monotonic()
        surplus_seconds = 0.0 if self._surplus_from is None else now - self._surplus_from
        self._load = replace(load, surplus_seconds=surplus_seconds)
        decision = policy.decide(self._load, self._bounds)
        self._surplus_from = (self._surplus_from or now) if decision.is_surplus else None
        if decision.wanted > load.own:
            self._announce(decision)
            self._crew.add(decision.wanted - load.own)
        elif decision.wanted < load.own:
            self._dismiss_one(decision)
        elif decision.reason:
            self._say_once(decision.reason)

    def _dismiss_one(self, decision: Decision) -> None:
        place = self._lookout.youngest_idle()
        if place is not None:  # All may have something in hand, though nothing waits.
            self._announce(decision)
            self._crew.dismiss(place)
            self._surplus_from = time.monotonic()

    def _announce(self, decision: Decision) -> None:
        logger.info("%s -> %s workers: %s.", self._load.own, decision.wanted, decision.reason)

    def _say_once(self, reason: str) -> None:
        kind = re.sub(r"[\d,.]+", "", reason)
        if time.monotonic() - self._said.get(kind, float("-inf")) > REPEAT_SECONDS:
            self._said[kind] = time.monotonic()
            logger.info("%s workers stay: %s.", self._load.own, reason)

    def _renew_next(self) -> None:
        """Go on with the request to start all anew: one at a time, the next once the last one works."""
        old = [place for place in self._crew.places if place.is_old]
        if old and not self._crew.leaving and not self._lookout.has_starting():
            logger.info("Worker %s is started anew; %s more to go.", old[0].number, len(old) - 1)
            self._crew.renew(old[0])

    # Signals.

    def _obey(self, received: Sequence[signal.Signals]) -> None:
        for number in received:
            if number in STOP:
                self._stop(number)
            elif number == DESCRIBE:
                self._describe()
            elif number == RENEW and not self._is_stopping:
                logger.info("SIGHUP: all workers are started anew, one by one.")
                for place in self._crew.places:
                    place.is_old = True

    def _stop(self, number: signal.Signals) -> None:
        if time.monotonic() - self._asked_at < SAME_SIGNAL_SECONDS:
            return
        self._asked_at = time.monotonic()
        if self._is_stopping:
            logger.info("%s again: the workers are to give back what they have in hand.", number.name)
            self._crew.hurry()
            return
        self._is_stopping = True
        logger.info("%s: %s workers are told to end, and waited for.", number.name, self._crew.living)

    def _describe(self) -> None:
        load = self._load
        workers = [self._lookout.describe(place) for place in self._crew.places]
        workers += [f"process {process.pid} is ending" for process in self._crew.leaving]
        limit = f" ({load.held:,} more: {load.limit})" if load.held else ""
        logger.info(
            "%s workers of %s to %s, and %s elsewhere; %s%s tasks wait%s; one worker ends about %.1f a second: %s.",
            load.own,
            self._bounds.fewest,
            self._bounds.most,
            load.others,
            f"{load.waiting:,}",
            " or more" if load.is_at_least else "",
            limit,
            load.per_worker,
            ", ".join(workers) or "none",
        )
