"""The sample receipts: made up from a list of shops, always the same."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from typing import Any

from project.content.models import Receipt
from project.content.uploads import create_receipts

COUNT = 150
ITEMS = 8
FIRST_DAY = date(2026, 1, 2)
DAYS = 180


def load() -> int:
    """Upload all of them where there is no receipt at all, as nothing else tells which are there; returns how many."""
    if Receipt.objects.exists():
        return 0
    return create_receipts(list(sample_receipts(COUNT, seed=4)), user=None, name="Sample receipts").created


def sample_receipts(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Receipts as an upload has them; the same for the same seed."""
    chance = random.Random(seed)
    data = tomllib.loads((resources.files("project.content") / "samples" / "receipts.toml").read_text("utf-8"))
    for _ in range(count):
        yield _receipt(chance, chance.choice(data["shop"]), chance.choice(data["closings"]))


def _receipt(chance: random.Random, shop: dict[str, Any], closing: str) -> dict[str, Any]:
    day = FIRST_DAY + timedelta(days=chance.randrange(DAYS))
    goods = chance.sample(shop["goods"], chance.randint(1, min(ITEMS, len(shop["goods"]))))
    items = [_item(chance, *good, *shop["counts"]) for good in goods]
    total = sum(Decimal(item["price"]) * item["quantity"] for item in items)
    lines = [f"{item['quantity']} x {item['description']} {item['price']}" for item in items]
    text = "\n".join([shop["merchant"], f"{day:%d.%m.%Y}", *lines, f"TOTAL EUR {total}", closing])
    return {
        "merchant": shop["merchant"],
        "purchased_on": day.isoformat(),
        "currency": "EUR",
        "total": str(total),
        "text": text,
        "items": items,
    }


def _item(
    chance: random.Random, description: str, lowest: float, highest: float, fewest: int, most: int
) -> dict[str, Any]:
    price = Decimal(chance.randint(round(lowest * 100), round(highest * 100))) / 100
    return {"description": description, "quantity": chance.randint(fewest, most), "price": f"{price:.2f}"}
