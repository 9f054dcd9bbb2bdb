"""Run one subcommand, and end as all of them do."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from psycopg.errors import UndefinedColumn, UndefinedTable

from embeddings.cli.report import INTERRUPTED, Options, Problem, Report
from embeddings.cli.screen import Screen
from embeddings.exceptions import ConfigurationError, FilterError
from embeddings.failure import Failure


def run(work: Callable[[Options, Screen], Report], options: Options, screen: Screen) -> int:
    """Show what came of it, as text or as one JSON document; returns the exit code.

    Raises Problem for what cannot be done, with one sentence.
    """
    with _quietly():
        report = _report(work, options, screen)
    if screen.is_json:
        write_json(screen, report.data)
    else:
        screen.show(report.blocks)
    return report.exit_code


def write_json(screen: Screen, data: Mapping[str, Any]) -> None:
    screen.out.write(json.dumps(data, cls=DjangoJSONEncoder, indent=2) + "\n")


def _report(work: Callable[[Options, Screen], Report], options: Options, screen: Screen) -> Report:
    try:
        return work(options, screen)
    except ConfigurationError as exc:
        raise Problem(str(exc), "configuration") from exc
    except FilterError as exc:
        raise Problem(str(exc), "filter") from exc
    except Error as exc:
        raise Problem(_of_database(exc), "database") from exc
    except KeyboardInterrupt:
        return Report({"error": {"code": "interrupted", "message": "Stopped."}}, ["Stopped."], INTERRUPTED)


def _of_database(exc: Error) -> str:
    if isinstance(exc.__cause__, UndefinedTable | UndefinedColumn):
        return "The database lacks tables or columns of embeddings: run manage.py migrate."
    return f"The database cannot be asked: {Failure.of(exc).message}"


@contextmanager
def _quietly() -> Iterator[None]:
    """What goes wrong is said by the command itself: once, and in one sentence."""
    logger = logging.getLogger("embeddings")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
