from __future__ import annotations

import pytest

from embeddings.backoff import retry_delay


@pytest.mark.parametrize(("attempt", "minimum"), [(1, 2), (2, 4), (3, 8), (7, 128), (8, 200), (100, 200)])
def test_retry_delay__doubles_up_to_the_cap_and_jitter_only_adds(attempt: int, minimum: float) -> None:
    delays = [retry_delay(attempt, base_seconds=2.0, cap_seconds=200.0) for _ in range(200)]

    assert min(delays) >= minimum
    assert max(delays) <= minimum * 1.5


def test_retry_delay__spreads_tasks_that_failed_together() -> None:
    delays = {retry_delay(1, base_seconds=2.0, cap_seconds=200.0) for _ in range(100)}

    assert len(delays) > 90
    assert max(delays) - min(delays) > 0.5


def test_retry_delay__an_attempt_before_the_first_counts_as_the_first() -> None:
    delay = retry_delay(0, base_seconds=2.0, cap_seconds=200.0)

    assert 2 <= delay <= 3


def test_retry_delay__base_of_zero_is_no_delay() -> None:
    assert retry_delay(3, base_seconds=0, cap_seconds=200) == 0
