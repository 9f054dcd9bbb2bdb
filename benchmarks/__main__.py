"""All figures that `docs/performance.md` has: `make bench`. Prints one table, and saves it on request."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import chart, table
from benchmarks.row import Row
from benchmarks.scale import NAMES
from benchmarks.topic import TOPICS

INTRODUCTION = (
    "`make bench` wrote this page. Each ratio is the median of rounds in which both sides took turns, with the lowest\n"
    "and the highest; [performance](../performance.md) says what was measured, and what it means."
)
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
    table.print_rows(rows)
    minutes = (time.monotonic() - started) / 60
    _write(f"{len(rows)} rows in {minutes:.1f} minutes on {os.cpu_count()} cores; a ratio's spread is its rounds'.")
    if options.save:
        _save(rows, options.save)
    for topic in broken:
        _write(f"{topic} could not be measured; what it said is above.")
    return 2 if broken else 0 if all(row.is_met for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "topics", nargs="*", choices=[[], *TOPICS], help=f"of {', '.join(TOPICS)}; all if none is named"
    )
    parser.add_argument("--scale", choices=NAMES, default="full")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="for figures.json, chart.svg and table.md")
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


def _save(rows: Sequence[Row], folder: Path) -> None:
    """As JSON, with the figures of each round, as a chart, and as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = json.dumps([row.as_json() for row in rows], indent=1, ensure_ascii=False)
    (folder / "figures.json").write_text(f"{figures}\n")
    (folder / "chart.svg").write_text(chart.draw(rows))
    (folder / "table.md").write_text("\n".join(["# All figures", "", INTRODUCTION, *table.markdown(rows)]) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
