"""One topic on servers of its own: `python -m benchmarks.topic saving --scale quick`. Prints each row as JSON."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys

from benchmarks import durable
from benchmarks.scale import NAMES, Scale

# In the order of the table. Each is a module in benchmarks.topics with `measure(scale) -> Iterator[Row]`.
TOPICS = (
    "saving",
    "draining",
    "http",
    "index",
    "ledger",
    "missing",
    "freshness",
    "quota",
    "search",
    "pages",
    "resources",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topic", description=__doc__)
    parser.add_argument("topic", choices=TOPICS)
    parser.add_argument("--scale", choices=NAMES, default="full")
    options = parser.parse_args()
    # Commits are what a save is timed by.
    with durable.postgres() if options.topic == "saving" else contextlib.nullcontext():
        _measure(options.topic, Scale(options.scale))
    return 0


def _measure(topic: str, scale: Scale) -> None:
    _set_up()
    module = importlib.import_module(f"benchmarks.topics.{topic}")
    for row in module.measure(scale):
        sys.stdout.write(json.dumps(row.as_json()) + "\n")
        sys.stdout.flush()


def _set_up() -> None:
    """Start servers and make all tables in an empty database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
