"""Texts of about 100 characters, the same in each run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TypeVar

from benchmarks.models import Page

P = TypeVar("P", bound=Page)

_TEXT = """
Somebody measured the old engine carefully before winter and wrote down what was left of the work; a neighbour painted
the harbour door, repaired one printer, delivered eleven letters, and found a recipe for quince jam beside an insurance
contract that nobody remembers. Travel invoices arrive quietly; the museum garden needs water, patience, bulbs, manure.
"""
WORDS = _TEXT.split()


def pages(model: type[P], count: int) -> Iterator[P]:
    """Unsaved pages with a title of two words and a number, and a body of fourteen words."""
    dice = random.Random(1)
    for number in range(count):
        title = f"{' '.join(dice.choices(WORDS, k=2))} {number}"
        yield model(title=title, body=" ".join(dice.choices(WORDS, k=14)))
