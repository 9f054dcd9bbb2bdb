"""The pages about a project of one's own, done from top to bottom in one that knows nothing of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance import bare_project
from tests.acceptance.bare_project import BareProject
from tests.docs import shell
from tests.docs.pages import ROOT, Block, blocks_of, name_of
from tests.docs.test_commands import OWN_PROJECT, explain

PAGE_SECONDS = 120
# The first line of a block that is a file, or is added to it.
_FILE = re.compile(r"# ([\w/]+\.py)(: all of it)?$")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> BareProject:
    project = bare_project.begin(tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("source"), "own_project")
    # A busy machine takes its time to load the model for the first search of a process.
    project.configure('EMBEDDINGS = {"SEARCH_TIMEOUT_SECONDS": 30}')
    return project


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_own_project__works_as_the_pages_say(project: BareProject) -> None:
    for name in OWN_PROJECT:
        page = ROOT / name
        for block in blocks_of(page, "python", "console"):
            if block.language == "python":
                write(project, block)
            else:
                run(project, page, block)


def write(project: BareProject, block: Block) -> None:
    """A block that names a file in its first line is that file; of models it is added to those that are there."""
    if not (named := _FILE.match(block.lines[0])):
        return
    if named[1] == "settings.py":
        project.configure(block.text)
        return
    file = project.folder / named[1]
    before = file.read_text() if file.exists() and "Create your" not in file.read_text() else ""
    is_added = named[1].endswith("models.py") and not named[2]
    file.write_text((before if is_added else "") + block.text)


def run(project: BareProject, page: Path, block: Block) -> None:
    environment = {**project.environment, **shell.python_first()}
    commands = shell.commands_of(block)
    ended = shell.run(commands, folder=project.folder, environment=environment, seconds=PAGE_SECONDS)
    wrong = [explain(page, each) for each in ended if not each.is_right]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("name", OWN_PROJECT)
def test_own_project__each_page_has_commands(name: str) -> None:
    assert any(shell.commands_of(block) for block in blocks_of(ROOT / name, "console")), name_of(ROOT / name)
