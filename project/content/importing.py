"""Blocks that come from a program, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from embeddings.context import by_person
from project.content.models import Block, Page


@dataclass(frozen=True, slots=True)
class Row:
    """A block as it shall be; `id` names the one to change, None makes a new one."""

    text: str
    position: int = 0
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """How many blocks were made and changed, and the ids of all, in the order of the rows."""

    created: int
    updated: int
    ids: list[int]


class UnknownBlocks(LookupError):
    """Some rows name blocks that the page does not have."""


@transaction.atomic
def import_blocks(page: Page, rows: Sequence[Row]) -> Imported:
    """Write the blocks of a page, all or none; raises UnknownBlocks.

    Nobody waits for them, whoever's request it is: they keep their field's delay and low priority.
    """
    known = _known(page, [row.id for row in rows if row.id is not None])
    blocks = [_block(page, row, known.get(row.id)) for row in rows]
    with by_person(when=lambda: False):
        Block.objects.bulk_update(known.values(), ["position", "text", "updated_at"])
        Block.objects.bulk_create([block for block in blocks if block.pk is None])
    return Imported(len(blocks) - len(known), len(known), [block.pk for block in blocks])


def _known(page: Page, ids: list[int]) -> dict[int | None, Block]:
    """The blocks to change, locked."""
    found = page.blocks.filter(pk__in=ids).order_by("pk").defer("embedding", "words").select_for_update(no_key=True)
    known: dict[int | None, Block] = {block.pk: block for block in found}
    if missing := [str(one) for one in ids if one not in known]:
        raise UnknownBlocks(f"This page has no block {', '.join(missing[:10])}.")
    return known


def _block(page: Page, row: Row, block: Block | None) -> Block:
    block = block or Block(page=page)
    block.position, block.text, block.updated_at = row.position, row.text, timezone.now()
    return block
