from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embeddings.chunking.matching import Changes, Stored, match
from embeddings.chunking.pieces import Piece

CONTEXT = "A page"


def pieces_of(texts: list[str]) -> list[Piece]:
    """Pieces that follow each other."""
    made, start = [], 0
    for text in texts:
        made.append(Piece(start, start + len(text), text))
        start += len(text) + 1
    return made


def stored(texts: list[str], context: str = CONTEXT) -> list[Stored]:
    """Chunks with the keys 100, 101 and so on."""
    return [
        Stored(100 + index, index, piece.start, piece.end, context, piece.text)
        for index, piece in enumerate(pieces_of(texts))
    ]


def applied(old: list[Stored], changes: Changes, context: str = CONTEXT) -> list[Stored]:
    """What is stored after the changes; new rows have the keys 1000 and so on."""
    rows = {chunk.pk: chunk for chunk in old if chunk.pk not in changes.deleted}
    for pk, index, piece in [*changes.moved, *changes.rewritten]:
        rows[pk] = Stored(pk, index, piece.start, piece.end, context, piece.text)
    for number, (index, piece) in enumerate(changes.created):
        rows[1000 + number] = Stored(1000 + number, index, piece.start, piece.end, context, piece.text)
    return sorted(rows.values(), key=lambda chunk: chunk.index)


def test_match__same_pieces_change_nothing():
    assert match(stored(["a", "b", "c"]), pieces_of(["a", "b", "c"]), CONTEXT) == Changes()


def test_match__insertion_moves_what_follows():
    changes = match(stored(["a", "b"]), pieces_of(["new", "a", "b"]), CONTEXT)

    assert changes == Changes(
        moved=[(100, 1, Piece(4, 5, "a")), (101, 2, Piece(6, 7, "b"))], created=[(0, Piece(0, 3, "new"))]
    )


def test_match__edited_piece_keeps_its_row():
    changes = match(stored(["a", "b", "c"]), pieces_of(["a", "x", "c"]), CONTEXT)

    assert changes == Changes(rewritten=[(101, 1, Piece(2, 3, "x"))])


def test_match__fewer_pieces_delete_rows():
    changes = match(stored(["a", "b", "c"]), pieces_of(["c"]), CONTEXT)

    assert changes == Changes(moved=[(102, 0, Piece(0, 1, "c"))], deleted=[100, 101])


def test_match__another_context_rewrites_all():
    changes = match(stored(["a", "b"], context="Old"), pieces_of(["a", "b"]), CONTEXT)

    assert [pk for pk, _, _ in changes.rewritten] == [100, 101]


def test_match__equal_texts_stay_in_their_order():
    changes = match(stored(["a", "a", "b"]), pieces_of(["a", "b", "a"]), CONTEXT)

    assert [(pk, index) for pk, index, _ in changes.moved] == [(102, 1), (101, 2)]
    assert not (changes.rewritten or changes.created or changes.deleted)


few = st.lists(st.sampled_from("abcde"), max_size=12)


@given(old=few, new=few, context=st.sampled_from([CONTEXT, "Old"]))
def test_match__leads_to_the_new_pieces_and_keeps_every_same_text(old, new, context):
    before = stored(old, context)

    changes = match(before, pieces_of(new), CONTEXT)

    after = applied(before, changes)
    assert [(c.index, c.start, c.end, c.text, c.context) for c in after] == [
        (index, piece.start, piece.end, piece.text, CONTEXT) for index, piece in enumerate(pieces_of(new))
    ]
    touched = {pk for pk, _, _ in changes.rewritten}
    kept = [c for c in after if c.pk < 1000 and c.pk not in touched]
    common = sum(min(old.count(text), new.count(text)) for text in set(old))
    assert len(kept) == (common if context == CONTEXT else 0)
    assert all(c.text == next(b.text for b in before if b.pk == c.pk) for c in kept)
    assert not (changes.created and changes.deleted)
