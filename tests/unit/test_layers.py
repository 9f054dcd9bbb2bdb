"""Imports point one way: the rows of design, from what knows nothing of ours to what people touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "embeddings"

# A module imports only from rows above its own.
ROWS: list[set[str]] = [
    {"exceptions", "batching", "backoff", "sql", "signature", "histogram", "durations", "logs", "extension", "lookups"},
    {"tally"},
    {"chunking", "chunking.pieces"},
    {"chunking.matching"},
    {"conf", "failure"},
    {"providers", "broker"},
    {"models"},
    {"derived", "audit", "events"},
    {"registry", "context"},
    {"fields", "text", "payload"},
    {"pauses"},
    {"ledger", "limiter", "metrics", "heartbeats", "model_ids", "quotas", "timeouts", "kept", "idempotency"},
    {"live"},
    {"writer", "chunking.rows", "census", "task_filter", "indexes"},
    {"pipeline.unboxing"},
    {"pipeline.intake"},
    {"pipeline.calling", "pipeline.settlement", "pipeline.selection"},
    {"pipeline.hand", "pipeline.remedies", "pipeline.storing", "pipeline.in_flight"},
    {"pipeline.finishing", "pipeline.sending"},
    {"pipeline.splitting"},
    {"pipeline.reading"},
    {"pipeline.claiming"},
    {"pipeline.drain"},
    {"pipeline"},
    {"search", "stats", "immediate"},
    {"direct", "alerts", "connectivity", "gathering"},
    {"cleanup"},
    {"jobs"},
    {"webhooks"},
    {"previews"},
    {"bulk", "operations", "worker"},
    {"requeue", "boxes", "creation", "renewal"},
    {"operating", "stuck", "setup_facts"},
    {"cli", "scaling"},
    {"managers", "signals", "checks", "admin", "api", "management", "middleware", "monitoring"},
    {"chunks", "openai_api"},
    {"apps"},
]
ROW_OF = {module: number for number, row in enumerate(ROWS) for module in row}


def modules() -> Iterator[tuple[str, Path]]:
    """(module or package of ours as in ROWS, file) of every file but migrations."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in {"migrations", "__init__"}:
            yield module_of(".".join(["embeddings", *parts])), path


def module_of(dotted: str) -> str:
    """ "ledger" of "embeddings.ledger.claims.claim"; the modules of the pipeline have rows of their own."""
    first, *rest = dotted.split(".")[1:]
    pair = ".".join([first, *rest[:1]])
    return pair if pair in ROW_OF else first


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_rows__name_every_module():
    assert {module for module, _ in modules()} == set(ROW_OF)


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value).rpartition("embeddings/")[2])
def test_imports__point_to_rows_above(module, path):
    ours = {module_of(name) for name in imports(path) if name.startswith("embeddings.")}

    wrong = {other for other in ours - {module} if ROW_OF[other] >= ROW_OF[module]}

    assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize(
    ("package", "users"),
    [
        # Who talks to the queue.
        ("rq", {"broker", "jobs", "worker"}),
        ("django_rq", {"broker"}),
        ("redis", {"broker", "jobs", "quotas", "worker"}),
        ("limits", {"quotas"}),
        # Who reads settings.
        ("django.conf", {"conf"}),
        # What an installing project need not have.
        ("rest_framework", {"api", "openai_api"}),
        ("drf_spectacular", {"api", "openai_api"}),
        ("httpcore2", {"webhooks"}),
        ("standardwebhooks", {"webhooks"}),
        ("prometheus_client", {"monitoring"}),
        ("health_check", {"monitoring"}),
        ("openai", {"providers"}),
        ("wordllama", {"providers"}),
        ("semantic_text_splitter", {"chunking.pieces"}),
    ],
)
def test_imports__of_other_packages(package, users):
    importers = {
        module
        for module, path in modules()
        if any(name == package or name.startswith(f"{package}.") for name in imports(path))
    }

    assert importers <= users


def test_status__is_written_by_the_ledger_alone():
    writers = {
        path.relative_to(PACKAGE).as_posix()
        for _, path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"update", "create", "update_or_create", "bulk_create", "move", "_give_back"}
        and any(keyword.arg == "status" for keyword in node.keywords)
    }

    assert {path.partition("/")[0] for path in writers} <= {"ledger"}


def test_modules__are_short():
    long = {path.name: lines for _, path in modules() if (lines := len(path.read_text().splitlines())) > 300}

    assert not long
