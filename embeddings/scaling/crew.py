"""The workers of one supervisor: each place has a process, or waits to have one again."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from embeddings.durations import duration
from embeddings.scaling.processes import Process, ending
from embeddings.scaling.restarts import Restarts

logger = logging.getLogger(__name__)

# Beyond the grace in which a worker waits for what is in flight: until it has given back the rest, also to a slow
# database.
MARGIN_SECONDS = 10.0
# Who was told twice gives back at once, and has so long.
HURRY_SECONDS = 6.0


@dataclass(eq=False, slots=True)
class Place:
    """One of the workers that there are to be."""

    number: int
    process: Process | None = None
    restarts: Restarts = field(default_factory=Restarts)
    # Started before the last request to start all anew.
    is_old: bool = False


class Crew:
    """Starts and ends workers; who decides how many is somebody else."""

    def __init__(self, command: Sequence[str], grace_seconds: Callable[[], float]) -> None:
        self._command = command
        self._grace_seconds = grace_seconds
        self.places: list[Place] = []
        # Those that were told to end, and have not yet.
        self.leaving: list[Process] = []
        # Whether one that was told to end had to be killed, of those that `dismiss_all` told.
        self.was_killed = False

    def add(self, count: int) -> None:
        """So many places more. Their processes start with the next `tend`."""
        for _ in range(count):
            taken = {place.number for place in self.places}
            self.places.append(Place(next(n for n in range(1, len(taken) + 2) if n not in taken)))

    def tend(self, most: int) -> None:
        """See who has ended, hurry who takes too long, and start who is due; `most` processes live at a time."""
        self.leaving = [process for process in self.leaving if process.poll() is None]
        for process in self.leaving:
            self._hurry_if_late(process)
        for place in self.places:
            if place.process is not None and (code := place.process.poll()) is not None:
                self._ended(place, place.process, code)
        for place in self.places:
            if place.process is None and place.restarts.due_at <= time.monotonic() and self.living < most:
                self._start(place)

    @property
    def living(self) -> int:
        return len(self.leaving) + sum(place.process is not None for place in self.places)

    def dismiss(self, place: Place) -> None:
        """End the worker of a place, and have the place no more."""
        self.places.remove(place)
        if place.process is not None:
            self._tell(place.process)

    def renew(self, place: Place) -> None:
        """End the worker of a place in order; the next one starts when it has ended."""
        place.is_old = False
        if place.process is not None:
            self._tell(place.process)
            place.process = None

    def dismiss_all(self) -> None:
        """End all in order."""
        self.was_killed = False
        for place in list(self.places):
            self.dismiss(place)

    def hurry(self) -> None:
        """Tell those that are leaving once more: they are to give back what they have in hand."""
        for process in self.leaving:
            process.tell()

    def _tell(self, process: Process) -> None:
        process.tell()
        self.leaving.append(process)

    def _start(self, place: Place) -> None:
        try:
            place.process = Process(place.number, self._command)
        except OSError as exc:  # no memory, no more processes allowed
            seconds = place.restarts.died(time.monotonic(), lived_seconds=0.0)
            logger.error("Worker %s cannot be started (%s); next try in %s.", place.number, exc, duration(seconds))
            return
        logger.info("Worker %s started (process %s, %s).", place.number, place.process.pid, place.process.name)

    def _ended(self, place: Place, process: Process, code: int) -> None:
        """It was not told to by us."""
        place.process = None
        how = f"Worker {place.number} ({process.name}) ended after {duration(process.age_seconds)}, {ending(code)}"
        if code == 0 and not self._is_hasty(process):
            place.restarts = Restarts()
            logger.info("%s: it was told to by somebody else, and is started again.", how)
            return
        seconds = place.restarts.died(time.monotonic(), lived_seconds=process.age_seconds)
        logger.warning("%s; it is started again in %s.", how, duration(seconds))
        if place.restarts.are_many:
            logger.error(
                "Worker %s has died %s times in a row soon after its start. Its last words: %s",
                place.number,
                place.restarts.deaths,
                process.last_words() or "none",
            )

    @staticmethod
    def _is_hasty(process: Process) -> bool:
        """Whether it has ended so soon that starting it again at once could become all that we do."""
        return process.age_seconds < MARGIN_SECONDS

    def _hurry_if_late(self, process: Process) -> None:
        late = time.monotonic() - process.told_at
        if process.times_told == 1 and late > self._grace_seconds() + MARGIN_SECONDS:
            logger.warning("Worker %s takes too long to end: it is told once more.", process.name)
            process.tell()
        elif process.times_told == 2 and late > HURRY_SECONDS:
            logger.error(
                "Worker %s does not end, and is killed: its tasks wait until their lease is over.", process.name
            )
            process.tell(signal.SIGKILL)
            self.was_killed = True
