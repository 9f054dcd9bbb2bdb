"""The three modes of search on the loaded Python documentation, against what people judged."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import pytest

from project.content.models import Article
from tests.quality import queries
from tests.quality.measures import ndcg, recall
from tests.quality.queries import Query

pytestmark = pytest.mark.django_db(databases=["default", "other"])

MODES = ("semantic", "keyword", "hybrid")
KINDS = ("question", "keywords", "identifier", "error", "paraphrase")
# (nDCG@10, recall@10), a little under what was measured: Pythons 3.11, 3.12 and 3.13 are 0.005 apart, and an
# approximate index, which is another one each time, costs up to 0.01.
FLOORS = {"semantic": (0.42, 0.52), "keyword": (0.43, 0.51), "hybrid": (0.53, 0.60)}
# Of all expected articles, the share that another version of Python may lack.
MISSING = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """The ten best articles of one search, by slug."""

    query: Query
    found: list[str]

    @property
    def ndcg(self) -> float:
        return ndcg(self.found, self.query.grades)

    @property
    def recall(self) -> float:
        return recall(self.found, self.query.grades)


Answers = dict[str, list[Answer]]


@pytest.fixture(scope="module")
def asked(documentation: set[str]) -> list[Query]:
    """The queries, expecting only what this version of Python has."""
    return [query for query in (query.among(documentation) for query in queries.load()) if query.grades]


@pytest.fixture(scope="module")
def answers(asked: list[Query]) -> Answers:
    return {mode: [Answer(query, _search(query.text, mode)) for query in asked] for mode in MODES}


def _search(text: str, mode: str) -> list[str]:
    return [article.slug for article in Article.objects.search(text, mode=mode)[:10]]


def test_queries__expect_what_is_there(documentation, report):
    expected = {slug for query in queries.load() for slug in query.grades}
    missing = sorted(expected - documentation)
    nothing_left = [query.text for query in queries.load() if not query.among(documentation).grades]
    report.extend(f"This Python lacks {slug}." for slug in missing)

    assert len(missing) <= MISSING * len(expected), f"This Python lacks {missing}."
    assert not nothing_left, f"This Python has no answer to {nothing_left}: it lacks {missing}."


def test_queries__are_enough_of_each_kind():
    kinds = [query.kind for query in queries.load()]

    assert len(kinds) >= 48
    assert set(kinds) == set(KINDS)
    assert len({query.text for query in queries.load()}) == len(kinds)


@pytest.mark.parametrize("mode", MODES)
def test_search__is_as_good_as_it_was(answers, mode):
    ndcg_floor, recall_floor = FLOORS[mode]

    assert mean(answer.ndcg for answer in answers[mode]) >= ndcg_floor
    assert mean(answer.recall for answer in answers[mode]) >= recall_floor


def test_search__hybrid_is_as_good_as_the_better_of_both(answers):
    ndcgs = {mode: mean(answer.ndcg for answer in answers[mode]) for mode in MODES}
    recalls = {mode: mean(answer.recall for answer in answers[mode]) for mode in MODES}

    assert ndcgs["hybrid"] == max(ndcgs.values())
    assert recalls["hybrid"] == max(recalls.values())


def test_search__figures_are_shown(answers, documentation, report):
    before = len(report)

    report.append(f"{len(answers['hybrid'])} queries to {len(documentation):,} articles; nDCG@10 by kind on the right")
    report.append(" ".join(["mode      recall@10 nDCG@10 ", *(f"{kind:>10}" for kind in KINDS)]))
    report.extend(_row(mode, answers[mode]) for mode in MODES)
    report.append("The worst of hybrid:")
    report.extend(_line(answer) for answer in sorted(answers["hybrid"], key=lambda answer: answer.ndcg)[:5])

    assert len(report) == before + 2 + len(MODES) + 1 + 5


def _row(mode: str, answers: list[Answer]) -> str:
    kinds = [mean(answer.ndcg for answer in answers if answer.query.kind == kind) for kind in KINDS]
    overall = f"{mean(a.recall for a in answers):9.3f} {mean(a.ndcg for a in answers):7.3f} "
    return " ".join([f"{mode:9}", overall, *(f"{value:10.3f}" for value in kinds)])


def _line(answer: Answer) -> str:
    expected = ", ".join(answer.query.grades)
    return f"  {answer.ndcg:.3f} “{answer.query.text}” expected {expected}; found {', '.join(answer.found[:3])}"
