"""Every command of the documents, against a live site."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import shell
from tests.docs.pages import PAGES, ROOT, Block, blocks_of, name_of
from tests.docs.shell import Command, Ended
from tests.docs.site import Site

# A project of one's own is where these are done, in this order: test_own_project.py does.
OWN_PROJECT = ("docs/quick-start.md", "docs/others-models.md", "docs/testing.md", "docs/removing.md")
PAGE_SECONDS = 240


def commands_of(page: Path) -> list[Command]:
    return [command for block in blocks_of(page, "console") for command in shell.commands_of(block)]


RUN = [page for page in PAGES if commands_of(page) and name_of(page) not in OWN_PROJECT]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_commands__end_as_the_page_says(page: Path, site: Site) -> None:
    site.tidy()

    ended = shell.run(commands_of(page), folder=ROOT, environment=site.environment, seconds=PAGE_SECONDS)

    wrong = [explain(page, each) for each in ended if not each.is_right]
    assert wrong == [], "\n".join(wrong)


def explain(page: Path, ended: Ended) -> str:
    how = f"ended with {ended.exit_code}" if ended.exit_code is not None else "did not end in time"
    where = f"{name_of(page)}:{ended.command.line}"
    return f"\n{where}: {how}, not with {ended.command.exit_code}:\n  $ {ended.command.text}\n{ended.output}"


def test_commands__are_read_as_a_shell_reads_them() -> None:
    lines = ("$ echo one \\", "  two", "one two", "$ cat <<'END'", "three", "END", "three", "$ false", "# exit 1")

    found = list(shell.commands_of(block_of(*lines)))

    assert [command.text for command in found] == ["echo one \\\n  two", "cat <<'END'\nthree\nEND", "false"]
    assert [command.exit_code for command in found] == [0, 0, 1]


def test_commands__share_a_shell_and_say_how_they_ended(tmp_path: Path) -> None:
    block = block_of("$ NAME=apple; cd /", "$ echo $NAME $PWD", "$ exit_with_127", "$ (exit 3)", "# exit 3", "$ echo '")

    ended = list(run_here(block, tmp_path, seconds=10))

    assert [each.exit_code for each in ended][:4] == [0, 0, 127, 3]
    assert ended[1].output == "apple /\n"
    assert [each.is_right for each in ended] == [True, True, False, True, False]


def test_commands__that_hang_are_ended(tmp_path: Path) -> None:
    block = block_of("$ echo before", "$ sleep 60", "$ echo after")

    ended = list(run_here(block, tmp_path, seconds=0.5))

    assert [each.exit_code for each in ended] == [0, None, None]


def block_of(*lines: str) -> Block:
    return Block(1, "console", lines)


def run_here(block: Block, folder: Path, seconds: float) -> Iterator[Ended]:
    environment = {"PATH": os.environ["PATH"]}
    return shell.run(shell.commands_of(block), folder=folder, environment=environment, seconds=seconds)
