from __future__ import annotations

from embeddings.scaling.restarts import Restarts


def test_died__doubles_the_wait_up_to_a_minute():
    restarts = Restarts()

    waits = [restarts.died(100.0, lived_seconds=0.5) for _ in range(9)]

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert restarts.due_at == 160.0


def test_died__begins_anew_after_a_long_life():
    restarts = Restarts()
    for _ in range(5):
        restarts.died(0.0, lived_seconds=1.0)

    assert restarts.are_many
    assert restarts.died(0.0, lived_seconds=60.0) == 1.0
    assert not restarts.are_many


def test_died__goes_on_for_a_year():
    restarts = Restarts(deaths=525_600)

    assert restarts.died(0.0, lived_seconds=1.0) == 60.0
