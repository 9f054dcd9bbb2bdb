from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.scaling import Bounds, Supervisor, command


def _count(value: str) -> int:
    if not value.isdigit():
        raise ArgumentTypeError(f"must be a whole number, not {value!r}.")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"must be a number of seconds greater than 0, not {value!r}.")
    return seconds


class Command(BaseCommand):
    help = (
        "Keep as many rqworker processes on this machine as the backlog needs. SIGTERM or Ctrl-C ends all in order, "
        "SIGHUP starts them anew one by one, SIGUSR1 logs how things are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--min", type=_count, default=1, help="Workers that always run; default 1.")
        parser.add_argument("--max", type=_count, default=8, help="Workers that run at most; default 8.")
        parser.add_argument(
            "--target-seconds", type=_seconds, default=60.0, help="A backlog is to be done in this time; default 60."
        )
        parser.add_argument(
            "--idle-seconds", type=_seconds, default=60.0, help="One ends when not needed for so long; default 60."
        )
        parser.add_argument("options", nargs="*", metavar="-- OPTION", help="Options and further queues for rqworker.")

    def handle(self, *args: Any, **options: Any) -> None:
        _log_somewhere()
        supervisor = Supervisor(self._command(options), self._bounds(options))
        sys.exit(supervisor.run())

    def _bounds(self, options: dict[str, Any]) -> Bounds:
        fewest, most = options["min"], options["max"]
        if most < max(1, fewest):
            raise CommandError(f"--max must be at least 1 and not less than --min: {most} is less than {fewest or 1}.")
        return Bounds(fewest, most, options["target_seconds"], options["idle_seconds"])

    def _command(self, options: dict[str, Any]) -> list[str]:
        given = list(options["options"])
        if any(option == "--name" or option.startswith("--name=") for option in given):
            raise CommandError("Leave out --name: each worker needs a name of its own, and is given one.")
        if options["pythonpath"]:
            given.append(f"--pythonpath={options['pythonpath']}")
        try:
            return command(conf.current().queue, *given)
        except ConfigurationError as exc:
            raise CommandError(str(exc)) from exc


def _log_somewhere() -> None:
    """What LOGGING says of our messages holds; where it says nothing they are shown, on the standard error."""
    package, logger = logging.getLogger("embeddings"), logging.getLogger("embeddings.scaling")
    if not (package.level or logger.level):  # else it would be the root's, which passes over all but warnings
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
