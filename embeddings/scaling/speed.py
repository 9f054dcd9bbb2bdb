"""How many tasks one worker ends in a second, by what workers say that they have done."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

# So many seconds of work are looked at; what was done while nothing waited says nothing.
WINDOW_SECONDS = 20.0
# Less says nothing yet: workers report every two seconds.
LEAST_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Interval:
    seconds: float
    worker_seconds: float
    tasks: int


class Speedometer:
    """The speed of one worker among those that work at the same time. Times are of any clock that does not jump."""

    def __init__(self) -> None:
        self._intervals: deque[_Interval] = deque()
        # The time, what each worker had done by then, and whether there was enough for all to do.
        self._last: tuple[float, Mapping[str, int], bool] = (0.0, {}, False)

    def observe(self, at: float, done: Mapping[str, int], *, is_busy: bool) -> None:
        """`done` is {worker: tasks that it has ended since its birth}; `is_busy`: there is enough for all to do."""
        before, earlier, was_busy = self._last
        self._last = (at, done, is_busy)
        both = done.keys() & earlier.keys()
        if was_busy and is_busy and both:
            tasks = sum(max(0, done[name] - earlier[name]) for name in both)
            self._intervals.append(_Interval(at - before, (at - before) * len(both), tasks))
        while self._seconds() - WINDOW_SECONDS > (self._intervals[0].seconds if self._intervals else 0):
            self._intervals.popleft()

    @property
    def per_worker(self) -> float | None:
        """Tasks a second; None as long as nothing has ended, or too little is known."""
        tasks = sum(interval.tasks for interval in self._intervals)
        if not tasks or self._seconds() < LEAST_SECONDS:
            return None
        return tasks / sum(interval.worker_seconds for interval in self._intervals)

    def _seconds(self) -> float:
        return sum(interval.seconds for interval in self._intervals)
