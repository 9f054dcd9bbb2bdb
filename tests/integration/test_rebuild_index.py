"""`requeue_missing --rebuild-index`, on a real server, with real workers, killed where it hurts."""

from __future__ import annotations

import io
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import connection
from psycopg.errors import DiskFull, InsufficientPrivilege

from embeddings import indexes
from embeddings.checks.databases import check_databases
from embeddings.cli import filling
from embeddings.cli.telling import Teller
from embeddings.exceptions import EmbeddingsError
from embeddings.indexes import Rebuild
from embeddings.indexes import rebuild as rebuild_module
from embeddings.indexes.session import Session
from embeddings.models import EmbeddingTask, IndexRebuild, Status
from embeddings.registry import get
from tests.integration import sessions
from tests.integration.conftest import Workers, wait_until
from tests.testapp.models import Essay

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

NAME = "essay_embedding"
ROWS = 40
TABLE = "testapp_essay"
COMMAND = ("requeue_missing", "--rebuild-index", "--yes", "--model", TABLE.replace("_", "."))


@pytest.fixture(autouse=True)
def _whole_again() -> Iterator[None]:
    """Each test leaves the index that the model declares."""
    yield
    IndexRebuild.objects.all().delete()
    with connection.cursor() as cursor:
        for index in of_essays():
            cursor.execute(f'DROP INDEX "{index.name}"')
        cursor.execute(f"CREATE INDEX {NAME} ON {TABLE} USING hnsw (embedding vector_cosine_ops)")


@pytest.fixture
def essays() -> None:
    """Rows that nothing has seen."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (title, body, luck) SELECT 'essay ' || n, '', 0 FROM generate_series(1, %s) n", [ROWS]
        )


def of_essays() -> list[indexes.Index]:
    [target] = get("testapp.essay")
    return indexes.of_target(target, "default")


def index() -> indexes.Index | None:
    return indexes.find("public", NAME, "default")


def is_whole() -> bool:
    found = index()
    return found is not None and found.is_valid


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*COMMAND, *arguments, stdout=out)
    return out.getvalue()


@contextmanager
def rebuild() -> Iterator[Rebuild]:
    with Rebuild("default", say=lambda text: None, show=lambda text: None) as one:
        yield one


@contextmanager
def transaction_that_holds(mode: str) -> Iterator[None]:
    """An open transaction with a lock of the table: nothing concurrent gets past it."""
    with sessions.session() as other, other.transaction():
        other.execute(f"LOCK TABLE {TABLE} IN {mode} MODE")
        yield


def kill(process: Any) -> None:
    process.kill()
    process.wait()
    wait_until(lambda: not indexes.is_running("default"))


def interrupt(process: Any) -> None:
    """Press Ctrl-C, and again if nothing comes of it: Python drops an interruption that comes within a finalizer.

    A process that stays in spite of it says where it is.
    """
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
            return
    process.send_signal(signal.SIGABRT)


@pytest.mark.parametrize(
    "definition",
    [
        f"CREATE INDEX {NAME} ON public.{TABLE} USING hnsw (embedding public.vector_cosine_ops)",
        f"CREATE INDEX {NAME} ON public.{TABLE} USING hnsw (embedding public.vector_l2_ops)"
        " WITH (m='8', ef_construction='40') WHERE (luck > 0)",
        f"CREATE INDEX {NAME} ON public.{TABLE} USING ivfflat (embedding public.vector_cosine_ops) WITH (lists='3')",
        f"CREATE INDEX {NAME} ON public.{TABLE} USING hnsw"
        " (((embedding)::public.halfvec(256)) public.halfvec_cosine_ops)",
        f'CREATE INDEX "Of 100%" ON public.{TABLE} USING hnsw (embedding public.vector_cosine_ops)',
    ],
    ids=["hnsw", "options", "ivfflat", "expression", "name"],
)
def test_rebuild__builds_what_was_dropped(definition):
    execute(f"DROP INDEX {NAME}")
    execute(definition)
    [before] = of_essays()
    execute(f'COMMENT ON INDEX "{before.name}" IS $$it\'s for 100%$$')

    with rebuild() as one:
        one.drop(get("testapp.essay"))
        assert of_essays() == []
        one.build()

    [after] = of_essays()
    assert (after.definition, after.is_valid) == (definition, True)
    assert after.comment == "it's for 100%"
    assert not IndexRebuild.objects.exists()


def test_of_target__leaves_other_columns_and_methods_alone():
    execute(f"CREATE INDEX beside ON {TABLE} USING hnsw ((ARRAY[luck, luck]::vector(2)) vector_l2_ops)")

    try:
        names = [found.name for found in of_essays()]
    finally:
        execute("DROP INDEX beside")

    assert names == [NAME]


def test_drop__gives_up_after_a_time_and_forgets_nothing(essays, monkeypatch):
    monkeypatch.setattr(rebuild_module, "DROP_SECONDS", 1)
    execute(f"COMMENT ON INDEX {NAME} IS 'by meaning'")

    with transaction_that_holds("ROW SHARE"), rebuild() as one:
        with pytest.raises(EmbeddingsError, match=f"keeps the index {NAME} from being dropped: wait for its end"):
            one.drop(get("testapp.essay"))
        assert not is_whole()
    with rebuild() as one:
        one.drop(get("testapp.essay"))
        one.build()

    [after] = of_essays()
    assert (after.is_valid, after.comment) == (True, "by meaning")


def test_drop__of_an_index_that_is_not_ours(essays):
    execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger; GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger")

    with rebuild() as one:
        one._session.set("role", "stranger")
        with pytest.raises(InsufficientPrivilege):
            one.drop(get("testapp.essay"))

    assert is_whole()
    assert not IndexRebuild.objects.exists()
    execute("DROP OWNED BY stranger; DROP ROLE stranger")


def test_build__drops_what_an_earlier_build_has_left(essays):
    with rebuild() as one:
        one.drop(get("testapp.essay"))
    execute(f"CREATE INDEX {NAME} ON {TABLE} USING hnsw (embedding vector_cosine_ops)")
    execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{NAME}'::regclass")
    assert not is_whole()

    with rebuild() as one:
        one.build()

    assert is_whole()


def test_drop__forgets_the_leftovers_of_a_reindex(essays):
    execute(f"CREATE INDEX {NAME}_ccnew ON {TABLE} USING hnsw (embedding vector_cosine_ops)")
    execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{NAME}_ccnew'::regclass")

    with rebuild() as one:
        one.drop(get("testapp.essay"))
        one.build()

    assert [found.name for found in of_essays()] == [NAME]


def test_build__of_a_table_that_is_gone():
    execute("CREATE TABLE brief (v vector(2))")
    IndexRebuild.objects.create(
        target="testapp.brief.v",
        table="public.brief",
        schema="public",
        name="brief_v",
        definition="CREATE INDEX brief_v ON public.brief USING hnsw (v public.vector_l2_ops)",
    )
    execute("DROP TABLE brief")
    said: list[str] = []

    with Rebuild("default", say=said.append, show=said.append) as one:
        one.build()

    assert "The index brief_v is not built again: its table or its column is gone." in said
    assert not IndexRebuild.objects.exists()


def test_build__says_that_memory_is_short():
    vectors = "(SELECT array_agg(random() + 0 * n * i) FROM generate_series(1, 256) i)::vector"
    execute(
        f"INSERT INTO {TABLE} (title, body, luck, embedding)"
        f" SELECT 'essay', '', 0, {vectors} FROM generate_series(1, 1500) n"
    )
    said: list[str] = []

    with Rebuild("default", say=said.append, show=said.append, memory="1MB") as one:
        one.drop(get("testapp.essay"))
        one.build()

    assert is_whole()
    assert any("hnsw graph no longer fits into maintenance_work_mem" in sentence for sentence in said)


def test_build__without_shared_memory_is_done_by_one_process(monkeypatch):
    refused: list[str] = []
    execute_really = Session.run

    def execute_or_refuse(self: Session, statement: str, *arguments: Any) -> None:
        if statement.startswith("CREATE") and not refused:
            refused.append(statement)
            raise DiskFull("could not resize shared memory segment")
        execute_really(self, statement, *arguments)

    monkeypatch.setattr(Session, "run", execute_or_refuse)
    with rebuild() as one:
        one.drop(get("testapp.essay"))
        one.build()

    assert refused
    assert is_whole()


def test_requeue_missing__memory_that_is_none():
    with pytest.raises(CommandError, match="must be an amount of memory such as 512MB or 2GB, not 'much'"):
        run("--build-memory", "much")


def test_requeue_missing__fills_and_builds(essays, workers: Workers):
    workers.started()

    output = run()

    assert is_whole()
    assert not Essay.objects.filter(embedding=None).exists()
    assert not IndexRebuild.objects.exists()
    order = ["Dropped the index", f"Queued {ROWS} rows", "Building", f"{NAME} is there."]
    assert [line for line in order if line in output] == order
    assert sorted(order, key=output.index) == order


def test_requeue_missing__dry_run_says_what_it_would_drop(essays):
    output = run("--dry-run")

    assert f"To drop, and to build again: the index {NAME} (hnsw, 0 MB). Searches compare every row" in output
    assert is_whole()
    assert not IndexRebuild.objects.exists()


def test_requeue_missing__leaves_the_index_where_nothing_is_missing():
    before = index()

    output = run()

    assert "Nothing to queue" in output
    assert index() == before


def test_requeue_missing__says_when_another_runs(essays):
    with rebuild(), pytest.raises(CommandError, match="Another process drops or builds indexes"):
        run()

    assert is_whole()
    assert not EmbeddingTask.objects.exists()


def test_requeue_missing__does_not_wait_for_ever(essays, monkeypatch):
    monkeypatch.setattr(filling, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(filling, "POLL_SECONDS", 0.1)

    output = run()

    assert f"{ROWS} tasks are left, and nothing has moved" in output
    assert "No worker is alive. Start one: manage.py rqworker embeddings" in output
    assert is_whole()


def test_wait__tasks_that_failed_are_not_waited_for(essays):
    call_command("requeue_missing", "--yes", "--model", "testapp.essay", stdout=io.StringIO())
    EmbeddingTask.objects.update(status=Status.FAILED)

    with Teller(OutputWrapper(io.StringIO())) as teller:
        is_done = filling.wait(get("testapp.essay"), "default", teller)

    assert is_done


def test_requeue_missing__killed_while_it_drops(essays, workers: Workers):
    with transaction_that_holds("ROW SHARE"):
        process = workers.run(*COMMAND)
        wait_until(lambda: IndexRebuild.objects.exists() and not is_whole())
        kill(process)
    workers.started()

    run()

    assert_mended()


def test_requeue_missing__killed_while_workers_fill(essays, workers: Workers):
    process = workers.run(*COMMAND)
    wait_until(lambda: EmbeddingTask.objects.count() == ROWS)
    kill(process)
    assert index() is None
    assert [message.id for message in check_databases(None, ["default"])] == ["embeddings.W019"]
    workers.started()

    run()

    assert_mended()


def test_requeue_missing__killed_while_it_builds(essays, workers: Workers):
    workers.started()
    with rebuild() as one:
        one.drop(get("testapp.essay"))
    with transaction_that_holds("ROW EXCLUSIVE"):
        process = workers.run(*COMMAND)
        wait_until(lambda: phase().startswith("waiting for writers"), seconds=60)
        kill(process)
    assert not is_whole()

    run()

    assert_mended()


def test_requeue_missing__loses_its_connection_while_it_builds(essays, workers: Workers):
    workers.started()
    with rebuild() as one:
        one.drop(get("testapp.essay"))
    with transaction_that_holds("ROW EXCLUSIVE"):
        process = workers.run(*COMMAND)
        wait_until(lambda: phase().startswith("waiting for writers"), seconds=60)
        execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
        assert process.wait(timeout=30) == 1
    assert "Run it again: it goes on, and builds what it has dropped." in workers.output()

    run()

    assert_mended()


def test_requeue_missing__interrupted_by_a_key(essays, workers: Workers):
    process = workers.run(*COMMAND, PYTHONFAULTHANDLER="1")
    wait_until(lambda: EmbeddingTask.objects.count() == ROWS)
    wait_until(lambda: index() is None)

    interrupt(process)

    assert process.wait(timeout=30) == 130, workers.output()
    assert "Stopped. Run it again" in workers.output()
    assert [str(record) for record in IndexRebuild.objects.all()] == [NAME]


def test_requeue_missing__killed_after_it_has_built(essays):
    [target] = get("testapp.essay")
    with rebuild() as one:
        one._write_down(of_essays()[0], target)
    assert check_databases(None, ["default"]) == []

    call_command("requeue_missing", "--rebuild-index", "--yes", "--model", "testapp.post", stdout=io.StringIO())

    assert is_whole()
    assert not IndexRebuild.objects.exists()


def test_search__is_exact_without_the_index(essays, drain):
    call_command("requeue_missing", "--yes", "--model", "testapp.essay", stdout=io.StringIO())
    drain()
    exact = found()

    execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{NAME}'::regclass")
    with_an_invalid_one = found()
    execute(f"DROP INDEX {NAME}")
    without = found()

    assert exact
    assert with_an_invalid_one == exact
    assert without == exact


def found() -> list[tuple[int, float]]:
    essays = Essay.objects.search("essay 7", mode="semantic", candidates=10)
    return [(essay.pk, round(essay.score, 6)) for essay in essays]


def assert_mended() -> None:
    assert is_whole()
    assert not Essay.objects.filter(embedding=None).exists()
    assert not IndexRebuild.objects.exists()
    assert check_databases(None, ["default"]) == []


def phase() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT phase FROM pg_stat_progress_create_index")
        row = cursor.fetchone()
    return row[0] if row else ""
