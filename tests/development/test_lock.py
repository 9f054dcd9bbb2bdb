from __future__ import annotations

import os

import pytest

from project.development import lock


def test_held__second_holder_is_told_the_first(tmp_path):
    with (
        lock.held(tmp_path / "lock"),
        pytest.raises(lock.AlreadyRunningError) as caught,
        lock.held(tmp_path / "lock"),
    ):
        pass

    assert caught.value.pid == str(os.getpid())


def test_held__free_afterwards(tmp_path):
    with lock.held(tmp_path / "lock"):
        pass

    with lock.held(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
