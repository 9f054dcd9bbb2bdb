"""The commands of a page, run one after the other in one shell."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import Block

# A record of the shell's output that no command writes: its number, and how it ended.
_ENDED = "\x1e%s %s\x1e"
_RECORD = re.compile(r"\x1e(\d+) (\d+)\x1e\n?")
_HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)")
_EXIT = re.compile(r"#\s*exit (\d+)")


@dataclass(frozen=True)
class Command:
    """What follows "$ " in a block of the language `console`, where, and how it should end."""

    line: int
    text: str
    exit_code: int


@dataclass(frozen=True)
class Ended:
    """How a command ended; None if it did not, within the time of its page."""

    command: Command
    exit_code: int | None
    output: str

    @property
    def is_right(self) -> bool:
        return self.exit_code == self.command.exit_code


def commands_of(block: Block) -> Iterator[Command]:
    """A line "$ …", with those that continue it: after a backslash, or up to the end of a here-document.

    What follows is its output, which nobody compares; but a line "# exit 1" in it is how the command must end.
    """
    lines = list(enumerate(block.lines, start=block.line))
    while lines:
        number, line = lines.pop(0)
        if not line.startswith("$ "):
            continue
        text = [line[2:]]
        while text[-1].endswith("\\") and lines:
            text.append(lines.pop(0)[1])
        if here := _HERE_DOCUMENT.search(text[-1]):
            while lines and text[-1].strip() != here[1]:
                text.append(lines.pop(0)[1])
        output = []
        while lines and not lines[0][1].startswith("$ "):
            output.append(lines.pop(0)[1])
        codes = [int(found[1]) for found in map(_EXIT.match, output) if found]
        yield Command(number, "\n".join(text), codes[0] if codes else 0)


def run(
    commands: Iterable[Command], *, folder: Path, environment: Mapping[str, str], seconds: float
) -> Iterator[Ended]:
    """Run all of them in one shell, in `folder`; it and what it left running is killed after `seconds`."""
    commands = list(commands)
    output = _output_of(_script(commands), folder, environment, seconds)
    parts = _RECORD.split(output)
    printed, codes = parts[::3], parts[2::3]
    for number, command in enumerate(commands):
        code = int(codes[number]) if number < len(codes) else None
        yield Ended(command, code, printed[number] if number < len(printed) else "")


def python_first() -> dict[str, str]:
    """The variable with which `python` is the one that runs this."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _script(commands: list[Command]) -> str:
    # `eval`, so that a mistake of syntax ends one command and not the shell.
    lines = [
        f"eval {shlex.quote(command.text)} </dev/null; printf '{_ENDED}\\n' {number} $?"
        for number, command in enumerate(commands)
    ]
    # What the page left running in the background.
    return "\n".join([*lines, "kill $(jobs -p) 2>/dev/null; wait"])


def _output_of(script: str, folder: Path, environment: Mapping[str, str], seconds: float) -> str:
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        output, _ = shell.communicate()
    return output
