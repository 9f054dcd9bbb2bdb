"""Minutes of full length, simulated: several workers that want more than a quota, and a server that keeps it.

The counts are in memory here, on a clock of the test's own; test_quotas.py shares them on a real Redis.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from limits.storage import MemoryStorage
from limits.storage import memory as memory_module

from embeddings import quotas
from embeddings.conf import ProviderSettings
from embeddings.providers.dummy import DummyProvider
from embeddings.quotas import local, shared
from tests.openai_server.protocol import Refused
from tests.openai_server.quotas import Quotas

WORKERS = 4
CALLS_AT_ONCE = 5
MINUTES = 4


@dataclass
class Simulation:
    """What happens when: `at(seconds)` of workers that ask, and of requests that arrive at the server."""

    provider: DummyProvider
    tokens: tuple[int, int]
    now: float = 6_000.0
    used: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(1)
        self._events: list[tuple[float, int, int | None]] = []
        self._order = itertools.count()
        limits = (self.provider.requests_per_minute, self.provider.tokens_per_minute)
        self._server = Quotas(*limits, clock=lambda: self.now)

    def run(self, seconds: float, *, workers: int) -> None:
        """So many seconds of so many workers, each with several calls at once."""
        end = self.now + seconds
        for _ in range(workers * CALLS_AT_ONCE):
            self._later(0, None)
        while self._events[0][0] < end:
            self.now, _, tokens = heapq.heappop(self._events)
            self._ask() if tokens is None else self._arrive(tokens)
        self.now = end
        self._events.clear()

    def _later(self, seconds: float, tokens: int | None) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), tokens))

    def _ask(self) -> None:
        tokens = self._chance.randint(*self.tokens)
        if wait := quotas.take(self.provider, tokens):
            self._later(wait + self._chance.uniform(0, 0.05), None)
        else:
            self._later(self._chance.uniform(0.005, 0.05), tokens)

    def _arrive(self, tokens: int) -> None:
        try:
            self._server.take(tokens)
        except Refused:
            self.refused += 1
        else:
            self.used.append((self.now, tokens))
        self._later(self._chance.uniform(0.1, 0.3), None)


@pytest.fixture(autouse=True)
def _counts_in_memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStorage:
    storage = MemoryStorage()
    local.reset()
    shared.reset()
    monkeypatch.setattr(shared, "_storage", lambda: storage)
    return storage


def simulation(
    monkeypatch: pytest.MonkeyPatch, requests: int | None, tokens: int | None, cost: tuple[int, int] | None
) -> Simulation:
    settings = ProviderSettings("default", "", "dummy", 8, requests_per_minute=requests, tokens_per_minute=tokens)
    provider = DummyProvider(settings)
    most = quotas.request_tokens(provider)
    running = Simulation(provider, cost or (most * 3 // 4, most))
    monkeypatch.setattr(memory_module, "time", SimpleNamespace(time=lambda: running.now))
    return running


QUOTAS = [
    pytest.param(3, None, (1, 100), id="3 requests"),
    pytest.param(500, None, (1, 100), id="500 requests"),
    pytest.param(None, 40_000, (1, 600), id="40,000 tokens in small requests"),
    pytest.param(None, 40_000, None, id="40,000 tokens in full requests"),
    pytest.param(3000, 1_000_000, None, id="1,000,000 tokens, and more requests than needed"),
    pytest.param(100, 1_000_000, (1, 18_000), id="both, each now and then the scarcer one"),
]


@pytest.mark.parametrize(("requests", "tokens", "cost"), QUOTAS)
def test_take__uses_minutes_up_and_is_hardly_ever_refused(monkeypatch, requests, tokens, cost):
    simulated = simulation(monkeypatch, requests, tokens, cost)

    simulated.run(60 * MINUTES, workers=WORKERS)

    part_of_requests = len(simulated.used) / MINUTES / (requests or float("inf"))
    part_of_tokens = sum(spent for _, spent in simulated.used) / MINUTES / (tokens or float("inf"))
    assert 0.95 <= max(part_of_requests, part_of_tokens) <= 1
    assert simulated.refused <= 0.01 * len(simulated.used)


@pytest.mark.parametrize(("requests", "tokens", "cost"), QUOTAS)
def test_take__is_hardly_ever_refused_in_the_worst_case(monkeypatch, requests, tokens, cost):
    """The quota is used in a window's last seconds, and then what fades of it, as soon as it does."""
    simulated = simulation(monkeypatch, requests, tokens, cost)
    simulated.run(0.01, workers=1)
    simulated.now += 55

    simulated.run(60 * MINUTES, workers=WORKERS)

    assert simulated.refused <= 0.01 * len(simulated.used)
