"""Log lines that say what they are about: a worker, a provider, a request, tasks, a batch. Never a text, never a key.

Lines are written with Python's logging; what they are about is given as `extra`, or `bound` to a block of code. The
formatters here, as JSON or as text, show both.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

# What a line may be about; nothing else of our records' `extra` is shown. docs/monitoring.md says what each is.
FIELDS = (
    "worker",
    "database",
    "provider",
    "model_id",
    "request",
    "operation",
    "batch",
    "task",
    "tasks",
    "inputs",
    "tokens",
    "seconds",
    "outcome",
    "completed",
    "failed",
    "kind",
    "error",
    "status",
    "signature",
    "event",
    "subject",
)
# Loggers whose lines below WARNING quote what is sent: texts, keys, rows.
QUOTING = ("openai", "httpx", "httpcore", "httpx2", "httpcore2", "urllib3", "django.db.backends")
OURS = "embeddings"

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_bound: ContextVar[Mapping[str, Any]] = ContextVar("embeddings_logs", default=_NOTHING)


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Every line of this block, in this thread, is about these; None for what is unknown."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def about(record: logging.LogRecord) -> dict[str, Any]:
    """What a line is about, in the order of FIELDS.

    Others give names of ours to what is theirs: Django's `request` is the visitor's, with what he has searched for.
    """
    given = {**_bound.get(), **(vars(record) if _is_of(record, OURS) else {})}
    return {name: given[name] for name in FIELDS if given.get(name) is not None}


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: time (UTC), level, logger, message, process, FIELDS, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **about(record),
        }
        if record.exc_info:
            line["exception"] = _exception(record)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: "2026-01-31T12:00:00.000Z WARNING embeddings.ledger: A task failed. task=12"."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in about(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{_exception(record)}" if record.exc_info else line


class WithoutBodies(logging.Filter):
    """For handlers: nothing below WARNING from loggers that quote what is sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or not any(_is_of(record, logger) for logger in QUOTING)


def _is_of(record: logging.LogRecord, logger: str) -> bool:
    return record.name == logger or record.name.startswith(f"{logger}.")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exception(record: logging.LogRecord) -> str:
    """The traceback; of our own records without the exceptions' messages, which may quote a row."""
    assert record.exc_info is not None
    kind, exc, trace = record.exc_info
    if kind is None or exc is None:
        return ""
    if not _is_of(record, OURS):
        return "".join(traceback.format_exception(kind, exc, trace)).rstrip()
    return "\n".join(_frames(traceback.TracebackException(kind, exc, trace, compact=True)))


def _frames(of: traceback.TracebackException) -> Iterator[str]:
    """The one that was raised last comes last, after those that led to it."""
    before = of.__cause__ or (None if of.__suppress_context__ else of.__context__)
    if before is not None:
        yield from _frames(before)
    yield from (line.rstrip() for line in of.stack.format())
    yield str(getattr(of, "exc_type_str", None) or getattr(of.exc_type, "__name__", ""))
