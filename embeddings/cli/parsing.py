"""What stands on the command line: the parser, and the words that several subcommands take."""

from __future__ import annotations

import json
import re
import sys
from argparse import SUPPRESS, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any, NoReturn

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime, parse_time

from embeddings.cli.report import FAILED, Subcommand

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9})\s*(s|min|m|h|d|w)")
_LONGEST_SECONDS = 10 * 366 * 86_400
# Beyond these, a time in another time zone may have no date.
_YEARS = range(1970, 3000)
# The most that a column of PostgreSQL's holds.
_MOST = 2**63 - 1


class Parser(CommandParser):
    """Django's, which says what is wrong in JSON too, and ends as all errors do here."""

    def error(self, message: str) -> NoReturn:
        if not self.called_from_command_line:
            raise CommandError(message, returncode=FAILED)
        if "--json" in sys.argv:
            sys.stdout.write(json.dumps({"error": {"code": "usage", "message": message}}) + "\n")
            sys.exit(FAILED)
        super().error(message)
        raise AssertionError("argparse has not ended the program")

    # Of CommandParser, whose attribute is set in its __init__.
    called_from_command_line: bool | None


def add_subcommands(parser: CommandParser, subcommands: Iterable[Subcommand]) -> None:
    """One parser a subcommand, under `subcommand`."""
    parsers = parser.add_subparsers(
        title="subcommands", dest="subcommand", metavar="subcommand", required=True, parser_class=Parser
    )
    for one in subcommands:
        made = parsers.add_parser(
            one.name,
            help=one.summary,
            description=f"{one.summary}\n\n{one.description}".strip(),
            formatter_class=RawDescriptionHelpFormatter,
        )
        one.add_arguments(made)
        made.add_argument("--json", action="store_true", help="One JSON document in place of text.")
        _add_djangos(made)


def _add_djangos(parser: CommandParser) -> None:
    """Django's own options are taken after the subcommand too."""
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, default=SUPPRESS, help=SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(name, action="store_true", default=SUPPRESS, help=SUPPRESS)


def add_database(parser: CommandParser) -> None:
    parser.add_argument("--database", metavar="ALIAS", help="One of EMBEDDINGS['DATABASES']; default: its first.")


def add_limit(parser: CommandParser, default: int, what: str) -> None:
    parser.add_argument(
        "--limit", type=positive, default=default, metavar="N", help=f"{what} at most; default {default}."
    )


def add_yes(parser: CommandParser) -> None:
    parser.add_argument("--yes", "--confirm", action="store_true", dest="yes", help="Do not ask.")
    parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")


def positive(value: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", value) or not 1 <= int(value) <= _MOST:
        raise ArgumentTypeError(f"must be a whole number of at least 1, not {value!r}")
    return int(value)


def duration(value: str) -> timedelta:
    """ "90s", "30min", "2h", "3d", "1w"."""
    found = _DURATION.fullmatch(value.strip().lower())
    if not found or not int(found[1]):
        raise ArgumentTypeError(f"must be a time such as 90s, 30min, 2h or 3d, not {value!r}")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST_SECONDS:
        raise ArgumentTypeError(f"is too long: {value!r}; ten years are the longest")
    return timedelta(seconds=seconds)


def moment(value: str) -> datetime:
    """ "2030-01-31 18:00", or "18:00" of today, in the project's time zone unless it says another."""
    try:
        at = parse_datetime(value.strip()) or _today(parse_time(value.strip()))
    except ValueError:  # the form of a time, but no such day or hour
        at = None
    if at is None or at.year not in _YEARS:
        raise ArgumentTypeError(f"must be a time such as 2030-01-31T18:00, or 18:00, not {value!r}")
    return at if timezone.is_aware(at) else timezone.make_aware(at)


def _today(at: time | None) -> datetime | None:
    return None if at is None else datetime.combine(timezone.localdate(), at)


def moment_or_duration(value: str) -> datetime:
    """A time, or so long ago."""
    try:
        return timezone.now() - duration(value)
    except ArgumentTypeError:
        return moment(value)


def end_of(options: Any) -> datetime | None:
    """The end that --for or --until name."""
    if options["until"] is not None:
        until: datetime = options["until"]
        return until
    return None if options["lasting"] is None else timezone.now() + options["lasting"]
