from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embeddings.batching import estimate_tokens, halve, split, truncate

any_text = st.text(st.characters(exclude_categories=["Cs"]))
weights = st.lists(st.integers(min_value=1, max_value=50))


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("a", 1), ("abcd", 1), ("a" * 400, 100), ("語" * 4, 3), ("😀" * 4, 4)]
)
def test_estimate_tokens__is_a_quarter_of_the_bytes_and_at_least_one(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_truncate__keeps_a_text_that_fits() -> None:
    assert truncate("a" * 32, 8) == "a" * 32


def test_truncate__cuts_at_the_limit() -> None:
    assert truncate("a" * 33, 8) == "a" * 32


def test_truncate__never_cuts_a_character_in_half() -> None:
    assert truncate("語" * 11, 8) == "語" * 10
    assert truncate("😀" * 9, 8) == "😀" * 8


@given(any_text, st.integers(min_value=1, max_value=20))
def test_truncate__gives_the_longest_prefix_within_the_limit(text: str, max_tokens: int) -> None:
    cut = truncate(text, max_tokens)

    assert text.startswith(cut)
    assert len(cut.encode()) <= max_tokens * 4
    assert cut == text or len(text[: len(cut) + 1].encode()) > max_tokens * 4


def test_split__closes_a_request_at_its_inputs_or_its_tokens_whichever_is_first() -> None:
    items = [("a", 1), ("b", 1), ("c", 1), ("d", 8), ("e", 2), ("f", 1)]

    groups = list(split(items, max_inputs=2, max_tokens=9))

    assert groups == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_split__fills_a_request_to_exactly_its_limit() -> None:
    assert list(split([("a", 5), ("b", 4), ("c", 1)], max_inputs=9, max_tokens=9)) == [["a", "b"], ["c"]]


def test_split__an_item_over_the_limit_goes_alone() -> None:
    assert list(split([("a", 1), ("b", 99), ("c", 1)], max_inputs=9, max_tokens=9)) == [["a"], ["b"], ["c"]]


def test_split__nothing_gives_nothing() -> None:
    assert list(split([], max_inputs=9, max_tokens=9)) == []


@given(weights, st.integers(min_value=1, max_value=10), st.integers(min_value=1, max_value=60))
def test_split__loses_nothing_and_exceeds_nothing(tokens: list[int], max_inputs: int, max_tokens: int) -> None:
    items = list(enumerate(tokens))

    groups = list(split(((item, item[1]) for item in items), max_inputs=max_inputs, max_tokens=max_tokens))

    assert [item for group in groups for item in group] == items
    for group in groups:
        assert 1 <= len(group) <= max_inputs
        assert len(group) == 1 or sum(weight for _, weight in group) <= max_tokens


@given(weights, st.integers(min_value=1, max_value=10), st.integers(min_value=1, max_value=60))
def test_split__leaves_no_room_for_the_next_item(tokens: list[int], max_inputs: int, max_tokens: int) -> None:
    groups = list(split(((weight, weight) for weight in tokens), max_inputs=max_inputs, max_tokens=max_tokens))

    for group, following in pairwise(groups):
        assert len(group) == max_inputs or sum(group) + following[0] > max_tokens


@pytest.mark.parametrize(("items", "halves"), [("ab", ("a", "b")), ("abc", ("a", "bc")), ("abcd", ("ab", "cd"))])
def test_halve__gives_two_parts_in_order(items: str, halves: tuple[str, str]) -> None:
    assert halve(items) == halves


@given(st.integers(min_value=2, max_value=3000))
def test_halve__both_parts_of_two_or_more_are_smaller(size: int) -> None:
    left, right = halve(range(size))

    assert [*left, *right] == list(range(size))
    assert left and right
