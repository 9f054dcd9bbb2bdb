"""`manage.py embeddings …` in the test's own process."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from django.core.management import CommandError, call_command


@dataclass(frozen=True)
class Ran:
    """How it ended. An error's sentence is in `error`, as the shell would show it."""

    out: str
    code: int
    error: str = ""

    @property
    def data(self) -> Any:
        """The one document."""
        return json.loads(self.out)


def run(*arguments: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code, error = 0, ""
    try:
        call_command("embeddings", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as exc:
        code = int(exc.code or 0)
    except CommandError as exc:
        code, error = exc.returncode, str(exc)
    return Ran(out.getvalue(), code, error + err.getvalue())


class Terminal(io.StringIO):
    """A standard input on which somebody answers."""

    def isatty(self) -> bool:
        return True
