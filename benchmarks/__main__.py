"""All figures that `docs/performance.md` has: `make bench`. Prints one table; writes JSON and a chart on request."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import chart
from benchmarks.row import Row, shown
from benchmarks.scale import NAMES
from benchmarks.topic import TOPICS

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """0 if every goal is met, 1 if one is not, 2 if a topic could not be measured."""
    options = _options()
    started = time.monotonic()
    rows: list[Row] = []
    broken: list[str] = []
    for topic in options.topics or TOPICS:
        _write(f"{topic} …")
        found = _measure(topic, options.scale)
        broken += [] if found else [topic]
        rows += found
    _write("")
    for line in _table(rows):
        _write(line)
    minutes = (time.monotonic() - started) / 60
    _write(f"\n{len(rows)} rows in {minutes:.1f} minutes on {os.cpu_count()} cores.")
    if options.json:
        options.json.write_text(json.dumps([row.as_json() for row in rows], indent=1, ensure_ascii=False) + "\n")
    if options.svg:
        options.svg.write_text(chart.draw(rows))
    for topic in broken:
        _write(f"{topic} could not be measured; what it said is above.")
    return 2 if broken else 0 if all(row.is_met for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "topics", nargs="*", choices=[[], *TOPICS], help=f"of {', '.join(TOPICS)}; all if none is named"
    )
    parser.add_argument("--scale", choices=NAMES, default="full")
    parser.add_argument("--json", type=Path, help="a file for the rows, with the figures of each round")
    parser.add_argument("--svg", type=Path, help="a file for the chart")
    options = parser.parse_args()
    if unknown := sorted(set(options.topics).difference(TOPICS)):
        parser.error(f"there is no topic {unknown[0]!r}; there are {', '.join(TOPICS)}.")
    return options


def _measure(topic: str, scale: str) -> list[Row]:
    """The rows of one topic, measured by a process of its own; none if it failed."""
    command = [sys.executable, "-m", "benchmarks.topic", topic, "--scale", scale]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    rows = [Row.from_json(json.loads(line)) for line in done.stdout.splitlines()]
    return rows if done.returncode == 0 else []


def _table(rows: Iterable[Row]) -> Iterator[str]:
    topic = ""
    for row in rows:
        if row.topic != topic:
            topic = row.topic
            yield f"\n{topic}"
        low, high = row.spread
        mark = "" if not row.goal else "met" if row.is_met else "MISSED"
        yield f"  {row.what}"
        yield f"    {row.ours.label}: {shown(row.ours.median)} {row.unit}; {row.theirs.label}: " + (
            f"{shown(row.theirs.median)} {row.unit}"
        )
        ratio = f"    {shown(row.ratio)} times ({shown(low)} to {shown(high)}, {len(row.ratios)} rounds)"
        yield f"{ratio}{f'; goal {row.goal}: {mark}' if mark else ''}"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
