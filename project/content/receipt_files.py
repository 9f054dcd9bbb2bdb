"""Files of receipts, as people upload them: JSON, or CSV with one line an item."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

MAX_RECEIPTS = 5_000
RECEIPT_COLUMNS = ("merchant", "purchased_on", "currency", "total", "text")
ITEM_COLUMNS = ("description", "quantity", "price")
COLUMNS = ("receipt", *RECEIPT_COLUMNS, *ITEM_COLUMNS)
OPTIONAL = {"currency", "text", "quantity"}


class Unreadable(ValueError):
    """The file as a whole is no list of receipts; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A receipt of a readable file that cannot be made out."""

    field: str
    message: str


def read_receipts(name: str, content: bytes) -> list[Any]:
    """The receipts of the file `name`, as its writer gave them: nothing in them is validated. Raises Unreadable."""
    readers = {".json": _read_json, ".csv": _read_csv}
    reader = next((reader for suffix, reader in readers.items() if name.lower().endswith(suffix)), None)
    if reader is None:
        raise Unreadable("Upload a .json or a .csv file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Unreadable("The file is not UTF-8; save it as UTF-8 and upload it again.") from exc
    receipts = reader(text)
    check_count(receipts)
    return receipts


def check_count(receipts: list[Any]) -> None:
    """Raises Unreadable unless they can be stored in one go."""
    if not receipts:
        raise Unreadable("The file has no receipts.")
    if len(receipts) > MAX_RECEIPTS:
        raise Unreadable(f"These are {len(receipts):,} receipts; upload at most {MAX_RECEIPTS:,} at a time.")


def _read_json(text: str) -> list[Any]:
    try:
        receipts = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"The file is not JSON: {exc}.") from exc
    if not isinstance(receipts, list):
        raise Unreadable("The file must hold a list of receipts: [{…}, {…}].")
    return receipts


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _read_csv(text: str) -> list[Any]:
    """The receipts, by their numbers in the column `receipt`; its other columns are read from a receipt's first line.

    Further lines may repeat or leave out what is about the receipt. The comma or the semicolon is between columns.
    """
    header = next(iter(text.splitlines()), "")
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",", strict=True)
    _check_columns(_header(lines))
    receipts: dict[str, Any] = {}
    for number, line in _lines(lines):
        key = line.get("receipt") or f"line {number}"
        receipts[key] = _malformed(line, number) or _joined(receipts.get(key), line, number)
    return list(receipts.values())


def _header(lines: csv.DictReader[str]) -> list[str]:
    try:
        names = [name.strip() for name in lines.fieldnames or ()]
    except csv.Error as exc:
        raise Unreadable(f"The file is not CSV: {exc}.") from exc
    lines.fieldnames = names
    return names


def _check_columns(names: list[str]) -> None:
    if missing := [name for name in COLUMNS if name not in names and name not in OPTIONAL]:
        raise Unreadable(f"The first line of the file does not name the columns {', '.join(missing)}.")
    if unknown := [name for name in names if name not in COLUMNS]:
        raise Unreadable(f"The file has columns that are not known: {', '.join(unknown)}.")
    if len(set(names)) < len(names):
        raise Unreadable("The first line of the file names a column twice.")


def _lines(lines: csv.DictReader[str]) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Lines with their numbers, without their empty cells; cells beyond the columns are under None."""
    try:
        for line in lines:
            cells = {name: value.strip() if isinstance(value, str) else value for name, value in line.items()}
            if filled := {name: value for name, value in cells.items() if value}:
                yield lines.line_num, filled
    except csv.Error as exc:
        raise Unreadable(f"After line {lines.line_num} the file is not CSV: {exc}.") from exc


def _malformed(line: dict[Any, Any], number: int) -> Malformed | None:
    if None in line:
        return Malformed("line", f"Line {number} has more cells than the first line has columns.")
    if "receipt" not in line:
        return Malformed("receipt", f"Line {number} does not say to which receipt it belongs.")
    return None


def _joined(receipt: Any, line: dict[str, str], number: int) -> Any:
    """The receipt with one more line."""
    about = {name: line[name] for name in RECEIPT_COLUMNS if name in line}
    if receipt is None:
        receipt = {**about, "items": []}
    elif isinstance(receipt, Malformed):
        return receipt
    for name, value in about.items():
        if receipt.get(name) != value:
            return Malformed(name, f"Line {number} gives another value than the receipt's first line.")
    if item := {name: line[name] for name in ITEM_COLUMNS if name in line}:
        receipt["items"].append(item)
    return receipt
