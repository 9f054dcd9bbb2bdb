from __future__ import annotations

import re
from importlib import resources

import pytest

from project.content.receipt_files import MAX_RECEIPTS, Malformed, Unreadable, read_receipts

HEADER = "receipt,merchant,purchased_on,total,description,price\n"


def csv(*lines: str) -> list[object]:
    return read_receipts("r.csv", (HEADER + "\n".join(lines)).encode())


def test_read_receipts__json():
    receipts = read_receipts("R.JSON", b'[{"merchant": "A", "total": 1.10}, 5]')

    assert receipts[0]["merchant"] == "A"
    assert str(receipts[0]["total"]) == "1.10"  # not through a float
    assert receipts[1] == 5


def test_read_receipts__csv_has_a_line_an_item():
    receipts = csv("1,A,2026-01-01,3,bread,1", "2,B,2026-01-02,4,,", "1,,,,milk,2", "1,A,,3,salt,3")

    assert receipts == [
        {
            "merchant": "A",
            "purchased_on": "2026-01-01",
            "total": "3",
            "items": [
                {"description": "bread", "price": "1"},
                {"description": "milk", "price": "2"},
                {"description": "salt", "price": "3"},
            ],
        },
        {"merchant": "B", "purchased_on": "2026-01-02", "total": "4", "items": []},
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_read_receipts__csv_as_spreadsheets_write_it(line_end):
    lines = [
        "\ufeffreceipt; merchant ;purchased_on;total;description;price",
        "1;A;2026-01-01;3;bread, sliced;1",
        ";;;;;",
    ]

    receipts = read_receipts("r.csv", line_end.join(lines).encode())

    assert receipts == [
        {
            "merchant": "A",
            "purchased_on": "2026-01-01",
            "total": "3",
            "items": [{"description": "bread, sliced", "price": "1"}],
        }
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1,B,,,milk,2", Malformed("merchant", "Line 3 gives another value than the receipt's first line.")),
        ("1,,,,milk,2,5", Malformed("line", "Line 3 has more cells than the first line has columns.")),
    ],
)
def test_read_receipts__csv_with_a_malformed_line_spoils_its_receipt_alone(line, problem):
    receipts = csv("1,A,2026-01-01,3,bread,1", line, "2,B,2026-01-02,4,tea,4", "1,,,,salt,3")

    assert receipts[0] == problem
    assert receipts[1]["merchant"] == "B"
    assert len(receipts) == 2


def test_read_receipts__csv_line_of_no_receipt():
    receipts = csv("1,A,2026-01-01,3,bread,1", ",,,,milk,2")

    assert receipts[1] == Malformed("receipt", "Line 3 does not say to which receipt it belongs.")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.xlsx", b"x", "Upload a .json or a .csv file."),
        ("r", b"[]", "Upload a .json or a .csv file."),
        ("r.json", b"[]", "The file has no receipts."),
        ("r.json", b"{}", "The file must hold a list of receipts"),
        ("r.json", b'[{"total": NaN}]', "The file is not JSON: NaN is no number."),
        ("r.json", b"[{", "The file is not JSON: "),
        ("r.json", b"[" * 100_000, "The file is not JSON: "),
        ("r.json", b"[" + b"9" * 5000 + b"]", "The file is not JSON: "),
        ("r.json", b"[0" + b",0" * MAX_RECEIPTS + b"]", "These are 5,001 receipts; upload at most 5,000 at a time."),
        ("r.json", "[{\u00fc}]".encode("latin-1"), "The file is not UTF-8"),
        ("r.csv", b"", "The first line of the file does not name the columns receipt, merchant, purchased_on, total"),
        ("r.csv", HEADER.encode(), "The file has no receipts."),
        ("r.csv", HEADER.replace("price", "price,vat").encode(), "columns that are not known: vat."),
        ("r.csv", HEADER.replace("price", "price,price").encode(), "names a column twice."),
        ("r.csv", HEADER.encode() + b'1,"A', "After line 1 the file is not CSV: "),
    ],
)
def test_read_receipts__says_why_a_file_cannot_be_read(name, content, message):
    with pytest.raises(Unreadable, match=re.escape(message)):
        read_receipts(name, content)


def test_read_receipts__the_file_to_try():
    file = resources.files("project.content") / "samples" / "receipts-upload.csv"

    receipts = read_receipts(file.name, file.read_bytes())

    assert len(receipts) == 25
    assert not [receipt for receipt in receipts if isinstance(receipt, Malformed)]
