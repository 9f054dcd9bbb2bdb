from __future__ import annotations

import io

import pytest
from rich.console import Console

from project.development.progress import VectorProgress


@pytest.fixture
def output():
    return io.StringIO()


@pytest.fixture
def progress(output):
    return VectorProgress(Console(file=output))


def test_update__waiting(progress, output):
    progress.update({"pending": 3000, "processing": 500, "completed": 1400, "empty": 100, "failed": 7})

    assert output.getvalue() == "Vectors: 1,500 of 5,000\n"
    assert not progress.finished


def test_update__not_a_line_each_time(progress, output):
    progress.update({"pending": 2})
    progress.update({"pending": 1, "completed": 1})

    assert output.getvalue() == "Vectors: 0 of 2\n"


def test_update__all_done(progress, output):
    progress.update({"completed": 1999, "empty": 1})

    assert output.getvalue() == "All 2,000 vectors are there.\n"
    assert progress.finished


def test_update__some_failed(progress, output):
    progress.update({"completed": 1, "failed": 2})

    assert "2 more tasks have failed" in output.getvalue()


def test_update__bar_on_a_terminal(output):
    progress = VectorProgress(Console(file=output, force_terminal=True))

    progress.update({"pending": 1, "completed": 1})
    progress.close()

    assert "1/2" in output.getvalue()
