from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embeddings.conf import ProviderSettings
from embeddings.exceptions import InputRejected, ProviderError, ProviderMisconfigured, RateLimited, TransientError
from embeddings.providers.dummy import DummyProvider, vector


def dummy_provider(dimensions: int = 8, **options: Any) -> DummyProvider:
    return DummyProvider(ProviderSettings("default", "…", "dummy", dimensions, options))


@pytest.fixture(autouse=True)
def _fresh_counts() -> Iterator[None]:
    DummyProvider.reset()
    yield
    DummyProvider.reset()


def test_vector__is_known() -> None:
    """Guards against a change that would make every stored vector stale."""
    assert vector("a", 3) == pytest.approx([-0.31272, -0.67151, -0.67177], abs=1e-5)


@pytest.mark.parametrize("dimensions", [1, 3, 256, 1536, 16_000])
def test_vector__has_unit_length_in_any_dimensions(dimensions: int) -> None:
    assert math.hypot(*vector("some text", dimensions)) == pytest.approx(1)
    assert len(vector("some text", dimensions)) == dimensions


def test_embed__counts_calls_inputs_and_texts() -> None:
    provider = dummy_provider()

    provider.embed(["a", "b"])
    dummy_provider().embed(["c"])

    assert (DummyProvider.calls, DummyProvider.inputs) == (2, 3)
    assert list(DummyProvider.requests) == [("a", "b"), ("c",)]


def test_reset__forgets_all() -> None:
    dummy_provider().embed(["a"])

    DummyProvider.reset()

    assert (DummyProvider.calls, DummyProvider.inputs, list(DummyProvider.requests)) == (0, 0, [])


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        ("[[reject]]", InputRejected),
        ("[[transient]]", TransientError),
        ("[[rate-limit]]", RateLimited),
        ("[[misconfigured]]", ProviderMisconfigured),
    ],
)
def test_embed__fails_on_demand_and_counts_the_failure(marker: str, error: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        dummy_provider().embed(["good", f"bad {marker} text"])

    assert type(caught.value) is error
    assert DummyProvider.calls == 1


def test_embed__rate_limit_says_how_long() -> None:
    with pytest.raises(RateLimited) as caught:
        dummy_provider().embed(["[[rate-limit]]"])

    assert caught.value.retry_after == 0.2


def test_embed__nan_spoils_only_its_own_vector() -> None:
    good, bad = dummy_provider().embed(["good", "[[nan]]"]).vectors

    assert not any(map(math.isnan, good))
    assert all(map(math.isnan, bad))


def test_embed__latency_is_kept() -> None:
    started = time.monotonic()

    dummy_provider(LATENCY_SECONDS=0.05).embed(["a"])

    assert time.monotonic() - started >= 0.05


def _embed_and_log(path: str, number: int) -> None:
    for request in range(50):
        dummy_provider(LOG=path).embed([f"{number} {request} {text}" for text in range(100)])


def test_embed__several_processes_write_one_log(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_embed_and_log, args=(str(log), number)) for number in range(3)]

    for process in processes:
        process.start()
    for process in processes:
        process.join()

    lines = [line.split() for line in log.read_text().splitlines()]
    digests = [digest for line in lines for digest in line[1:]]
    assert len(lines) == 150
    assert all(line[0] == "100" and len(line) == 101 for line in lines)
    assert len(set(digests)) == 15_000
    assert hashlib.sha256(b"2 49 99").hexdigest() in digests


def test_embed__crash_needs_permission() -> None:
    assert len(dummy_provider().embed(["[[crash]]"]).vectors) == 1


def test_embed__crash_kills_its_process_after_logging(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    child = os.fork()
    if not child:
        dummy_provider(ALLOW_CRASH=True, LOG=log).embed(["[[crash]]"])
        os._exit(0)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert log.read_text().startswith("1 ")
