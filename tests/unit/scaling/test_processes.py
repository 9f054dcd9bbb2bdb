from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from embeddings.scaling.processes import command, ending


@pytest.fixture
def main(monkeypatch) -> ModuleType:
    """The module that Python was started with."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_command__of_a_script_runs_it_from_anywhere(main, monkeypatch, tmp_path):
    main.__spec__ = None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["manage.py", "embedding_workers"])

    expected = [sys.executable, str(tmp_path / "manage.py"), "rqworker", "embeddings", "--verbosity", "0"]
    assert command("embeddings", "--verbosity", "0") == expected


def test_command__of_a_module_runs_the_module(main):
    main.__spec__ = ModuleSpec("django.__main__", None)

    assert command("embeddings") == [sys.executable, "-m", "django", "rqworker", "embeddings"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, "exit code 0"), (1, "exit code 1"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")],
)
def test_ending__is_said_in_words(code, expected):
    assert ending(code) == expected
