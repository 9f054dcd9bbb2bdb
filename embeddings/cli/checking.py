"""Whether all is set up: `check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from django.core import checks
from django.db import Error

from embeddings import broker, conf, jobs, registry, setup_facts
from embeddings.cli.report import DONE, FAILED, NOT_DONE, Options, Report, Subcommand
from embeddings.cli.screen import Block, Line, Screen
from embeddings.exceptions import ConfigurationError
from embeddings.failure import Failure

Level = Literal["ok", "warning", "error"]
STYLES: dict[Level, str] = {"ok": "green", "warning": "bold yellow", "error": "bold red"}
# Those of Django's checks among which ours are.
_TAGS = ["embeddings", checks.Tags.models, checks.Tags.database]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `id` is that of the system check, "" where there is none."""

    level: Level
    message: str
    hint: str = ""
    id: str = ""


def run(options: Options, screen: Screen) -> Report:
    """The system checks of this app, and what they do not say: what is well, and servers that are away."""
    findings = list(_findings())
    errors = sum(one.level == "error" for one in findings)
    warnings = sum(one.level == "warning" for one in findings)
    data = {"findings": [asdict(one) for one in findings], "errors": errors, "warnings": warnings}
    shown = [block for one in findings for block in _blocks(one)]
    end = _end(errors, warnings)
    return Report(data, [*shown, "", end], FAILED if errors else NOT_DONE if warnings else DONE)


def _findings() -> Iterator[Finding]:
    try:
        databases = conf.current().databases
    except ConfigurationError as exc:
        yield Finding("error", str(exc), "Edit EMBEDDINGS in your settings.", "embeddings.E001")
        return
    reachable = []
    for using in databases:
        found = list(_database(using))
        reachable += [using] if all(one.level != "error" for one in found) else []
        yield from found
    yield from _redis()
    yield from _providers()
    yield from _targets()
    yield from _system_checks(reachable)


def _database(using: str) -> Iterator[Finding]:
    try:
        facts = setup_facts.of_database(using)
    except Error as exc:
        message = f"Database {using!r} cannot be asked: {Failure.of(exc).message}"
        yield Finding("error", message, f"Start it, or look at DATABASES[{using!r}].")
        return
    pgvector = f"pgvector {facts.pgvector}" if facts.pgvector else "no pgvector"
    if facts.unapplied:
        hint = f"Run: manage.py migrate --database {using}"
        yield Finding("error", f"Database {using!r} lacks the migrations {', '.join(facts.unapplied)}.", hint)
    else:
        yield Finding("ok", f"Database {using!r}: PostgreSQL {facts.postgresql}, {pgvector}, all migrations applied.")


def _redis() -> Iterator[Finding]:
    settings = conf.current()
    if not settings.queue_enabled:
        yield Finding("ok", "The queue is off: whoever saves embeds, and Redis is not asked.")
    elif settings.queue not in conf.rq_queues():
        return  # A check of ours says so.
    elif broker.look() is None:
        yield Finding("error", "Redis cannot be reached, so no new work starts.", "Start it, or look at RQ_QUEUES.")
    else:
        policy = jobs.eviction_policy() or "not known"
        yield Finding("ok", f"Redis answers for the queue {settings.queue!r}; maxmemory-policy is {policy}.")


def _providers() -> Iterator[Finding]:
    try:
        aliases = conf.provider_aliases()
        for alias in aliases:
            one = conf.provider_settings(alias)
            name = one.backend.rpartition(".")[2]
            yield Finding("ok", f"Provider {alias!r}: {name}, {one.model_id}, {one.dimensions:,} dimensions.")
    except ConfigurationError:
        return  # A check of ours says so.
    if not aliases:
        yield Finding("warning", "EMBEDDING_PROVIDERS has no provider yet.", "Add one to your settings.")


def _targets() -> Iterator[Finding]:
    for target in registry.all_targets():
        dimensions = getattr(target.vector_field, "dimensions", None)
        size = f"{dimensions:,} dimensions" if dimensions else "any number of dimensions"
        yield Finding("ok", f"Target {target.label}: {size}, by provider {target.provider!r}.")
    for splitting in registry.all_splittings():
        yield Finding("ok", f"Target {splitting.label}: split into chunks of {splitting.tokens} tokens.")


def _system_checks(databases: list[str]) -> Iterator[Finding]:
    """What Django's checks say of this app; those of databases only where these can be asked."""
    for message in checks.run_checks(tags=_TAGS, databases=databases):
        if str(message.id).startswith("embeddings."):
            level: Level = "error" if message.level >= checks.ERROR else "warning"
            yield Finding(level, str(message.msg), str(message.hint or ""), str(message.id))


def _blocks(one: Finding) -> Iterator[Block]:
    code = f" ({one.id})" if one.id else ""
    yield Line(f"{one.level}: {one.message}{code}", STYLES[one.level])
    if one.hint:
        yield f"  {one.hint}"


def _end(errors: int, warnings: int) -> str:
    if not (errors or warnings):
        return "All is set up as it should be. Whether providers answer: manage.py embeddings ping"
    parts = [_counted(number, name) for number, name in ((errors, "error"), (warnings, "warning")) if number]
    return f"{' and '.join(parts)}."


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'s' if number != 1 else ''}"


SUBCOMMANDS = [
    Subcommand(
        "check",
        "Whether settings, databases, Redis, providers and targets fit together.",
        run,
        description="It exits with 1 if there are warnings, 2 if there are errors. No provider is called: see ping.",
    )
]
