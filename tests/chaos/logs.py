"""What the workers and PostgreSQL wrote while it lasted: errors that no fault of the run explains."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

# The last line of a traceback: a class, and what it says.
_RAISED = re.compile(
    r"^((?:\w+\.)*\w*(?:Error|Exception|Timeout|Shutdown|Detected|Violation))(?::.*)?$"
    r"(?!\n\n(?:During handling of|The above exception was))",  # only the last of several that were chained
    re.MULTILINE,
)
# The faults of the run: PostgreSQL or Valkey was away, or ended a connection.
_EXPLAINED = {
    "OperationalError",
    "InterfaceError",
    "AdminShutdown",
    "CrashShutdown",
    "CannotConnectNow",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "BrokenPipeError",
    "TimeoutError",
}


def unexplained(workers: Path, postgres: Path) -> list[str]:
    """One sentence an unexpected error of the workers, and one about deadlocks."""
    raised: Counter[str] = Counter()
    for log in workers.rglob("*.log"):
        raised.update(name for name in _RAISED.findall(log.read_text(errors="replace")) if not _is_explained(name))
    found = [f"Workers raised {name}, {count} times: see their logs." for name, count in raised.items()]
    if deadlocks := postgres.read_text(errors="replace").count("deadlock detected"):
        found.append(f"PostgreSQL found {deadlocks} deadlocks.")
    return found


def _is_explained(name: str) -> bool:
    return name.rpartition(".")[2] in _EXPLAINED
