from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embeddings.batching import estimate_tokens
from embeddings.chunking import pieces
from embeddings.chunking.pieces import Piece, split

WORDS = [
    "the",
    "split",
    "of",
    "a",
    "long",
    "text",
    "into",
    "small",
    "parts",
    "is",
    "best",
    "done",
    "where",
    "nobody",
    "would",
    "notice",
    "that",
    "it",
    "ends",
    "there",
]

lines = st.sampled_from(
    [
        "# A heading",
        "## Another",
        "",
        "",
        "- an item of a list",
        "    code()",
        "```",
        "Some words of a sentence. And more of them! Or not?",
        "\u3053\u308c\u306f\u6587\u3067\u3059\u3002" * 8,
        "x" * 400,
        "\x1f",
        "| a | table |",
        "\U0001f600 " * 30,
    ]
)
texts = st.one_of(st.lists(lines, max_size=60).map("\n".join), st.text(max_size=300))


def prose(seed: int, paragraphs: int) -> str:
    """Paragraphs of 20 to 120 words, the same for the same seed."""
    rng = random.Random(seed)
    return "\n\n".join(
        " ".join(rng.choice(WORDS) + ("." if rng.random() < 0.1 else "") for _ in range(rng.randint(20, 120)))
        for _ in range(paragraphs)
    )


def headed(seed: int, sections: int) -> str:
    return "\n\n".join(f"## Section {n}\n\n{prose(seed + n, 4)}" for n in range(sections))


def table(rows: int) -> str:
    return "\n".join(f"| row {n:04} | the same words in every row |" for n in range(rows))


def new_after(before: str, after: str, tokens: int = 100, overlap: int = 16) -> int:
    """How many pieces of the text after an edit were not there before."""
    known = {piece.text for piece in split(before, tokens, overlap)}
    return sum(piece.text not in known for piece in split(after, tokens, overlap))


# What the pieces are.


@given(text=texts, tokens=st.integers(5, 60), overlap=st.integers(0, 4))
def test_split__pieces_are_what_the_text_holds_there(text, tokens, overlap):
    for piece in split(text, tokens, overlap):
        assert text[piece.start : piece.end] == piece.text
        assert piece.text.strip()


@given(text=texts, tokens=st.integers(5, 60), overlap=st.integers(0, 4))
def test_split__leaves_out_nothing_but_white_space(text, tokens, overlap):
    end = 0
    for piece in split(text, tokens, overlap):
        assert not text[end : piece.start].strip()
        assert piece.end > end
        end = piece.end

    assert not text[end:].strip()


@given(text=texts, tokens=st.integers(5, 60), overlap=st.integers(0, 4))
def test_split__no_piece_is_larger_than_asked(text, tokens, overlap):
    # A character may have more tokens than a tiny piece may.
    assert all(estimate_tokens(piece.text) <= tokens for piece in split(text, tokens, overlap))


def test_split__short_text_is_one_piece():
    assert split("  Some words.\n", 100, 10) == [Piece(2, 13, "Some words.")]


@pytest.mark.parametrize("text", ["", "   \n\n \t"])
def test_split__no_text(text):
    assert split(text, 100, 10) == []


def test_split__pieces_overlap_by_whole_sentences():
    text = " ".join(f"This is the sentence number {n}." for n in range(12))

    first, second, *_ = split(text, 40, 10)

    assert second.start < first.end
    assert estimate_tokens(text[second.start : first.end]) <= 10


def test_split__prefers_headings():
    text = "# One\n\n" + "word " * 60 + "\n\n# Two\n\n" + "word " * 60

    starts = [piece.text[:5] for piece in split(text, 100, 0)]

    assert starts == ["# One", "# Two"]


# An edit changes only what is near it.


@pytest.mark.parametrize("tokens", [100, 200, 400])
@pytest.mark.parametrize("text", [prose(1, 150), headed(2, 40), table(2000), " ".join(prose(3, 150).split())])
def test_split__insertion_at_the_top_changes_few_pieces(text, tokens):
    after = "Somebody had something to say before all the rest, and wrote it down.\n\n" + text

    assert len(split(text, tokens, tokens // 10)) > 25
    assert new_after(text, after, tokens, tokens // 10) <= 12


@pytest.mark.parametrize("text", [prose(1, 150), headed(2, 40), table(2000), " ".join(prose(3, 150).split())])
def test_split__insertions_anywhere_change_few_pieces(text):
    rng = random.Random(4)
    places = [text.index(" ", rng.randrange(len(text) - 200)) for _ in range(40)]

    changed = [new_after(text, f"{text[:place]} a few more words{text[place:]}") for place in places]

    assert max(changed) <= 25
    assert sorted(changed)[len(changed) // 2] <= 8


def test_split__is_the_same_whatever_the_history():
    text = headed(5, 10)
    split(prose(6, 10), 100, 10)

    assert split(text, 100, 10) == split(text, 100, 10)


# Long texts.


def test_split__keeps_alive_within_a_text_without_a_place_to_cut():
    calls = []
    text = "x" * (pieces._LONGEST * 400 * 3 + 1)

    made = split(text, 100, 0, lambda: calls.append(1))

    assert len(calls) == 4
    assert "".join(piece.text for piece in made) == text


def test_version__names_the_splitter():
    assert pieces.version().startswith("1 0.")


@pytest.mark.parametrize("space", ["\n", " \n", "\r\n", "\u3000\n"])
def test_split__long_white_space_takes_no_time(space):
    """Without a cut there, each of these would take the splitter many minutes."""
    text = f"Before it.{space * 100_000}After it."

    made = split(text, 200, 20)

    assert [piece.text for piece in made] == ["Before it.", "After it."]
    assert all(text[piece.start : piece.end] == piece.text for piece in made)
