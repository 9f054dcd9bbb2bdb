"""When a worker that died is started again: at once is for those that work, ever later for those that cannot."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
# A worker that has lived so long was no failure from the start.
LONG_LIFE_SECONDS = 60.0
# So many deaths in a row, each soon after its start, are worth a word of what was said last.
MANY_DEATHS = 3


@dataclass(slots=True)
class Restarts:
    """The deaths of one worker in a row, each soon after its start. Times are of the monotonic clock."""

    deaths: int = 0
    due_at: float = float("-inf")

    def died(self, now: float, *, lived_seconds: float) -> float:
        """Count a death; returns for how many seconds the next start is put off."""
        self.deaths = 1 if lived_seconds >= LONG_LIFE_SECONDS else self.deaths + 1
        # The exponent is bounded: after a night of deaths its power would be no number any more.
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.deaths - 1, 10))
        self.due_at = now + seconds
        return seconds

    @property
    def are_many(self) -> bool:
        return self.deaths >= MANY_DEATHS
