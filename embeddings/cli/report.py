"""What a subcommand is, and what it came to: the same for programs and for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandParser

from embeddings.cli.screen import Block, Screen

# As programs end: all is well, or it is done.
DONE = 0
# Something is degraded, or there was nothing to do, or not all of it was done.
NOT_DONE = 1
# Down, or an error.
FAILED = 2
# Somebody pressed Ctrl-C.
INTERRUPTED = 130

# What was given on the command line.
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """How a subcommand ends: one document for programs, lines and tables for people, and the exit code."""

    # What json can write, with keys in camelCase.
    data: Mapping[str, Any]
    blocks: Sequence[Block]
    exit_code: int = DONE


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One word after `manage.py embeddings`."""

    name: str
    # For the list of all of them, and in full for its own help.
    summary: str
    run: Callable[[Options, Screen], Report]
    add_arguments: Callable[[CommandParser], None] = lambda parser: None
    description: str = ""


class Problem(Exception):
    """It cannot be done: a sentence that says why and what to do. `code` names the sort of problem for programs."""

    def __init__(self, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.code = code
