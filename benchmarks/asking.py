"""People's questions, put to a search one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.rounds import percentile, seconds_of
from embeddings.search import vectors, words
from tests.quality import queries

Search = Callable[[str], object]


def questions(number: int) -> list[str]:
    """Of the 87 that people type into a search page over Python's documentation, evenly so many."""
    texts = [query.text for query in queries.load()]
    return [texts[place * len(texts) // number] for place in range(number)]


@dataclass
class Asker:
    """Asks all questions of one search, round after round, each as if nobody had asked it before."""

    search: Search
    questions: Sequence[str]
    # Whether the vectors and the words of earlier questions stay known.
    remembers: bool = False
    # Milliseconds of each question, of each round.
    rounds: list[list[float]] = field(default_factory=list)

    def ask(self) -> float:
        """The 95th percentile in milliseconds."""
        if not self.remembers:
            forget()
        self.rounds.append([milliseconds(self.search, question) for question in self.questions])
        return percentile(self.rounds[-1], 0.95)

    def percentiles(self, share: float) -> tuple[float, ...]:
        return tuple(percentile(taken, share) for taken in self.rounds)


def milliseconds(search: Search, question: str) -> float:
    return 1000 * seconds_of(lambda: search(question))


def forget() -> None:
    """The vectors and the words of all questions."""
    vectors.forget()
    words.forget()
