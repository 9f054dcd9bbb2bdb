from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from embeddings.admin import charts
from embeddings.admin.charts import HEIGHT, WIDTH, Part, Series

TIMES = [datetime(2026, 1, 2, 9, minute, tzinfo=UTC) for minute in range(1, 5)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 1), (-3, 1), (0.03, 0.05), (1, 1), (1.1, 2), (4.9, 5), (7, 10), (512, 1000), (100_001, 200_000)],
)
def test_ceiling(value, expected):
    assert charts.ceiling(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "s", "-"),
        (0, "s", "0 s"),
        (0.352, "s", "0.35 s"),
        (1.5, "s", "1.5 s"),
        (1234.5, "s", "1,234 s"),
        (0.5, "", "0.5"),
        (3, "", "3"),
        (12_345, "", "12,345"),
    ],
)
def test_figure(value, unit, expected):
    assert charts.figure(value, unit) == expected


class TestBars:
    def test_bars__are_stacked_up_to_a_round_top(self):
        series = [Series("completed", [10, 0, None, 50], "embedded"), Series("failed", [10, 0, None, 50], "failed")]

        drawn = charts.bars(series, TIMES, title="Tasks", unit="")

        found = re.findall(
            r'<rect x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)" class="embeddings-fill-(\w+)">', drawn
        )
        assert found == [
            ("15", "108", "120", "12", "embedded"),
            ("465", "60", "120", "60", "embedded"),
            ("15", "96", "120", "12", "failed"),
            ("465", "0", "120", "60", "failed"),
        ]
        assert re.findall("<span>(.*?)</span>", drawn) == ["100", "50", "0", "9:01 a.m.", "9:03 a.m.", "9:04 a.m."]

    def test_bars__say_what_they_show(self):
        drawn = charts.bars([Series("done", [1, 7, 3, 2], "a")], TIMES, title="Tasks & <co>", unit="")

        assert 'role="img" aria-label="Tasks &amp; &lt;co&gt;. done: at most 7, last 2."' in drawn
        assert "<title>Tasks &amp; &lt;co&gt;</title><desc>done: at most 7, last 2.</desc>" in drawn

    def test_bars__without_anything(self):
        drawn = charts.bars([Series("done", [], "a")], [], title="Tasks", unit="")

        assert "<desc>Nothing in this time.</desc>" in drawn
        assert "<rect" not in drawn


class TestLines:
    def test_lines__have_gaps(self):
        drawn = charts.lines([Series("p50", [1.0, 2.0, None, 0.0], "p50")], TIMES, title="t", unit="s")

        (path,) = re.findall(r'class="embeddings-line-p50" d="(.*?)"', drawn)
        assert path == "M0 60H150L300 0M450 120H600"

    def test_lines__stay_within_the_plot(self):
        drawn = charts.lines([Series("p50", [31.0, 31.0, 50.0, 7.7], "p50")], TIMES, title="t", unit="s")

        (path,) = re.findall(r'class="embeddings-line-p50" d="(.*?)"', drawn)
        x = [float(number) for number in re.findall(r"[MHL]([\d.]+)", path)]
        y = [float(number) for number in re.findall(r" ([\d.]+)", path)]
        assert (min(x), max(x)) == (0, WIDTH)
        assert min(y) == 0
        assert max(y) < HEIGHT


class TestTable:
    def test_table__has_the_latest_first(self):
        series = [Series("p50", [0.5, None], "p50"), Series("p95", [2.0, 31.0], "p95")]

        drawn = charts.table(series, TIMES[:2], title="Answers", unit="s")

        assert re.findall(r"<t[hd](?:\s[^>]*)?>(.*?)</t", drawn) == [
            "time", "p50", "p95",
            "9:02 a.m.", "-", "31 s",
            "9:01 a.m.", "0.5 s", "2 s",
        ]  # fmt: skip


class TestParted:
    def test_parted__is_filled_and_shows_what_is_little(self):
        drawn = charts.parted(
            [Part("embedded", 999_999, "a"), Part("stale", 0, "b"), Part("failed", 1, "c")], title="Notes"
        )

        found = re.findall(r'<rect x="(.*?)" y="0" width="(.*?)" height="10" class="embeddings-fill-(\w)">', drawn)
        assert [tone for *_, tone in found] == ["a", "c"]
        widths = [float(width) for _, width, _ in found]
        assert sum(widths) == pytest.approx(WIDTH, abs=0.2)
        assert widths[1] > 3
        assert float(found[1][0]) == pytest.approx(widths[0])
        assert 'aria-label="Notes: 999,999 embedded, 1 failed"' in drawn

    def test_parted__of_nothing(self):
        drawn = charts.parted([Part("embedded", 0, "a")], title="Notes")

        assert 'aria-label="Notes: nothing"' in drawn
        assert "<rect" not in drawn


@pytest.mark.parametrize("draw", [charts.bars, charts.lines])
def test_charts__need_no_inline_styles(draw):
    drawn = draw([Series("done", [1, 7, 3, 2], "a")], TIMES, title="Tasks", unit="")

    assert "style" not in drawn
    assert "<script" not in drawn
