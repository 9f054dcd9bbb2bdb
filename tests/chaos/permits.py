"""Permits to kill: files that the run lays out and that workers take at the points which they name.

Taking one is renaming it, so that exactly one worker does; what was taken is the list of the kills.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

# Where a worker may be killed, and who may die there.
POINTS = {
    "pop": ("parent",),  # the job is off the queue, its child not yet forked
    "start": ("child", "parent", "both"),  # the child begins the job
    "claim": ("child", "parent", "both"),  # tasks are claimed, their texts not yet read
    "request": ("child", "parent", "both"),  # the provider has not answered yet
    "answer": ("child", "parent", "both"),  # vectors are there, nothing is written
    "settle": ("child", "parent", "both"),  # vectors and tasks are written, the transaction is open
    "commit": ("child", "parent", "both"),  # they are committed, nothing new is claimed
}
PLANTED = "planted"  # the text that kills


@dataclass(frozen=True, slots=True)
class Kill:
    """Who died (`victim`: child, parent or both), where, of which worker, and when (seconds since 1970)."""

    point: str
    victim: str
    worker: str
    at: float


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit that a worker has taken."""

    path: Path
    point: str
    victim: str

    def use(self, worker: str, victim: str) -> None:
        """Write down who is about to die."""
        self.path.write_text(json.dumps(asdict(Kill(self.point, victim, worker, time.time()))))

    def give_back(self, folder: Path) -> None:
        self.path.rename(folder / self.path.name)


class Permits:
    """A folder of permits, which the run and its workers share."""

    def __init__(self, folder: Path) -> None:
        self.open = folder / "open"
        self.taken = folder / "taken"
        for part in (self.open, self.taken):
            part.mkdir(parents=True, exist_ok=True)

    def issue(self, number: int, point: str, victim: str) -> None:
        (self.open / f"{number:05d}.{point}.{victim}").touch()

    def take(self, point: str) -> Permit | None:
        """The oldest permit for a point; None where there is none."""
        for path in sorted(self.open.glob(f"*.{point}.*")):
            with suppress(FileNotFoundError):  # another worker was faster
                return Permit(path.rename(self.taken / path.name), point, path.name.split(".")[2])
        return None

    def withdraw(self) -> list[tuple[str, str]]:
        """Take back all permits that nobody has taken; returns their points and victims."""
        withdrawn = []
        for path in sorted(self.open.iterdir()):
            with suppress(FileNotFoundError):
                path.unlink()
                _, point, victim = path.name.split(".")
                withdrawn.append((point, victim))
        return withdrawn

    def note(self, kill: Kill) -> None:
        """Write down a kill that needed no permit."""
        name = f"{time.time_ns()}.{kill.point}.{kill.victim}"
        (self.taken / name).write_text(json.dumps(asdict(kill)))

    def kills(self) -> list[Kill]:
        """All kills so far, the oldest first."""
        texts = [path.read_text() for path in self.taken.iterdir()]
        return sorted((Kill(**json.loads(text)) for text in texts if text), key=lambda kill: kill.at)
