from __future__ import annotations

from embeddings.stats import LedgerHealth


def health(**values: object) -> LedgerHealth:
    return LedgerHealth("default", 1, 1, **{"live_rows": 200_000, "dead_rows": 0, "vacuumed_at": None, **values})


def test_warnings__none():
    assert health(dead_rows=99_999, live_rows=0).warnings == []
    assert health(dead_rows=100_000, live_rows=200_001).warnings == []
    assert health(oldest_pid=3, oldest_seconds=299.0).warnings == []


def test_warnings__dead_rows():
    (warning,) = health(dead_rows=100_000).warnings

    assert warning.startswith("100,000 rows of the ledger are dead")
    assert "VACUUM embeddings_embeddingtask" in warning


def test_warnings__long_transaction():
    (warning,) = health(oldest_pid=77, oldest_application="psql", oldest_seconds=7_200.0).warnings

    assert warning.startswith("A transaction has been open for 2 h (process 77, psql).")
