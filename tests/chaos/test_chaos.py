"""The chaos run, bounded: the same machinery as `make chaos`, in a process and on servers of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OF_THE_SESSION = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
# Many times what it takes, on a machine that has other things to do.
LIMIT_SECONDS = 270
STOP_SECONDS = 30


def chaos(*options: str) -> str:
    """Run it; returns its tables, or fails with what it says is wrong."""
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *options],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in OF_THE_SESSION},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        tables, progress = run.communicate(timeout=LIMIT_SECONDS)
    finally:
        run.terminate()  # It ends what it has started.
        run.wait(STOP_SECONDS)
    assert run.returncode == 0, tables + progress
    return tables


def test_backfill__survives_20_kills_and_everything_else():
    """About a minute: 20 workers die, and half of them start again."""
    tables = chaos(
        *("--only", "backfill", "--rows", "1500", "--kills", "20"),
        *("--times", "1", "--batch-size", "64", "--pace", "1.5", "--seed", "7"),
    )

    assert "| everything that is wrong" in tables


def test_rescue__gives_the_tasks_of_a_dead_worker_to_another():
    tables = chaos("--only", "rescue", "--rescue-lease", "3", "--backlog", "0")

    assert "a lease of 3 s, another worker that is idle" in tables
