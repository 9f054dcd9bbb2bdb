"""Run the chaos: `python -m tests.chaos --rows 20000 --kills 200 --seed 1`. Ends with 1 when something is wrong."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path

from tests.chaos import stage as stages
from tests.chaos.timing import embeddings_setting

# Violations that are told on the terminal; all of them are in a file.
SHOWN = 40


def main() -> int:
    options = _options()
    # SIGTERM ends the run as Ctrl-C does: with everything that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", choices=["backfill", "rescue"], help="one of the two parts")
    parser.add_argument("--rows", type=int, default=20_000, help="in the backfill")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--times", type=int, default=5, help="how often each kind of mischief is done")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--pace", type=float, default=3.5, help="mean seconds between kills")
    parser.add_argument("--latency", type=float, default=0.15, help="seconds that the provider takes to answer")
    parser.add_argument("--rescue-lease", type=float, help="seconds; without it all settings are the default ones")
    parser.add_argument("--backlog", type=int, default=25_000, help="tasks beside which others are rescued; 0: none")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--keep", action="store_true", help="keep the logs, also if nothing is wrong")
    parser.add_argument("--markdown", type=Path, help="a file for the tables")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> int:
    sys.stdout.write(f"Seed {options.seed}\n")
    sys.stdout.flush()
    with stages.built(embeddings_setting(options.batch_size), latency_seconds=options.latency) as stage:
        try:
            tables, violations = _play(stage, options)
        except Exception:
            sys.stdout.write(f"Logs: {stage.keep()}\n")
            raise
        text = "\n\n".join([f"`python -m tests.chaos {_told(options)}`", *tables])
        sys.stdout.write(f"{text}\n")
        if options.markdown:
            options.markdown.write_text(f"{text}\n")
        if violations:
            (stage.folder / "violations.txt").write_text("\n".join(violations))
            sys.stdout.write("\n".join(["", "WRONG:", *violations[:SHOWN], ""]))
        if violations or options.keep:
            sys.stdout.write(f"Logs, and every step of every task: {stage.keep()}\n")
        return 1 if violations else 0


def _told(options: argparse.Namespace) -> str:
    """The options that make this run again."""
    repeated = {name: value for name, value in vars(options).items() if name not in {"keep", "markdown"}}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in repeated.items() if value is not None)


def _play(stage: stages.Stage, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Returns the tables and what is wrong."""
    # Only now that Django is set up.
    from tests.chaos import history, report, rescue
    from tests.chaos.backfill import Backfill

    history.begin()
    tables, violations = [], []
    if options.only != "rescue":
        outcome = Backfill(
            stage,
            rows=options.rows,
            kills=options.kills,
            times=options.times,
            pace_seconds=options.pace,
            chance=random.Random(options.seed),
        ).run()
        tables.append(report.of_backfill(outcome))
        violations += outcome.violations
    if options.only != "backfill":
        short = {"LEASE_SECONDS": options.rescue_lease} if options.rescue_lease else {}
        rescues = [rescue.measure(stage, short, backlog=backlog) for backlog in sorted({0, options.backlog})]
        tables.append(report.of_rescues(rescues))
        violations += [violation for rescued in rescues for violation in rescued.violations()]
    history.write(stage.folder / "steps.csv")
    return tables, violations


if __name__ == "__main__":
    sys.exit(main())
