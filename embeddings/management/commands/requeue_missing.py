from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from embeddings import conf, operations, registry, requeue
from embeddings.cli import rebuilding
from embeddings.cli.report import INTERRUPTED
from embeddings.cli.telling import Teller
from embeddings.exceptions import EmbeddingsError
from embeddings.failure import Failure
from embeddings.indexes import Rebuild
from embeddings.models import EmbeddingBatch, Priority
from embeddings.registry import Derived
from embeddings.requeue import Survey

NOTHING = "Nothing to queue: no row that was asked for is without its vector, or it is queued already."

# A target, or a text to split, on one database.
Place = tuple[Derived, str]


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise ArgumentTypeError(f"must be a whole number of at least 1, not {value!r}.")
    return int(value)


def _memory(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d*(kB|MB|GB)", value):
        raise ArgumentTypeError(f"must be an amount of memory such as 512MB or 2GB, not {value!r}.")
    return value


class Command(BaseCommand):
    help = "Queue rows whose vectors are missing, stale or failed. Says what it would cost, and asks, before it does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count: rows, tokens, cost, time.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument("--model", action="append", metavar="APP.MODEL[.FIELD]", help="Only these; repeatable.")
        parser.add_argument("--missing", action="store_true", help="Only rows that have text but no vector or chunk.")
        parser.add_argument("--stale", action="store_true", help="Only rows whose text or embedding model changed.")
        parser.add_argument("--failed", action="store_true", help="Only rows whose last attempt failed.")
        parser.add_argument("--priority", choices=Priority.values, default=Priority.LOW, help="Default: low.")
        parser.add_argument("--batch-size", type=_positive, default=1000, help="Rows read at a time; default 1000.")
        parser.add_argument("--database", help="Only this one of EMBEDDINGS['DATABASES'].")
        parser.add_argument("--rollback", type=int, metavar="BATCH", help="Cancel what still waits of an earlier run.")

        group = parser.add_argument_group(
            "the index",
            "A backfill of a whole table is several times faster without its approximate index (HNSW, IVFFlat).",
        )
        group.add_argument(
            "--rebuild-index",
            action="store_true",
            help="Drop the index of what is filled, wait until workers have filled it, and build it again; searches "
            "compare every row meanwhile. Run it again after an interruption: it goes on.",
        )
        group.add_argument(
            "--build-memory",
            type=_memory,
            metavar="SIZE",
            help="PostgreSQL's maintenance_work_mem for it, such as 2GB; default: what the table needs, up to a "
            "quarter of effective_cache_size.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except EmbeddingsError as exc:
            raise CommandError(str(exc)) from exc
        except KeyboardInterrupt as exc:
            raise CommandError(f"Stopped.{_rest(options)}", returncode=INTERRUPTED) from exc
        except (Error, psycopg.Error) as exc:
            if not options["rebuild_index"]:
                raise
            message = Failure.of(exc).message.rstrip(".")
            raise CommandError(f"The database has said: {message}.{_rest(options)}") from exc

    def _run(self, options: dict[str, Any]) -> None:
        databases = self._databases(options["database"])
        if options["rollback"] is not None:
            self._roll_back(options["rollback"], databases)
            return
        if not conf.current().enabled:
            raise CommandError("Embedding is switched off by EMBEDDINGS['ENABLED']; nothing can be queued.")
        places = [(target, using) for using in databases for target in self._targets(options["model"])]
        chosen = frozenset(condition for condition in requeue.WANTED if options[condition]) or requeue.WANTED
        if options["rebuild_index"] and not options["dry_run"]:
            self._rebuild(places, databases, chosen, options)
            return
        if options["dry_run"] or not options["yes"]:
            surveys = self._survey(places, chosen, options)
            if options["dry_run"] or not self._is_wanted(surveys):
                return
        for using in databases:
            self._requeue([place for place in places if place[1] == using], using, chosen, options)

    def _rebuild(
        self,
        places: list[Place],
        databases: tuple[str, ...],
        chosen: frozenset[requeue.Condition],
        options: dict[str, Any],
    ) -> None:
        """Fill without the index. What an earlier run has begun is finished, also if nothing is to be queued now."""
        with Teller(self.stdout) as teller, ExitStack() as stack:
            rebuilds = {
                using: stack.enter_context(
                    Rebuild(using, say=teller.say, show=teller.show, memory=options["build_memory"])
                )
                for using in databases
            }
            wanted = self._wanted(places, chosen, options)
            for using, rebuild in rebuilds.items():
                here = [place for place in wanted if place[1] == using]
                if here:
                    rebuild.drop(target for target, _ in here)
                    self._requeue(here, using, chosen, options)
                rebuilding.finish(rebuild, [target for target, of in places if of == using], using, teller)

    def _wanted(
        self, places: list[Place], chosen: frozenset[requeue.Condition], options: dict[str, Any]
    ) -> list[Place]:
        """Where rows are to be queued, if they are."""
        if not options["yes"]:
            surveys = self._survey(places, chosen, options)
            return [(one.target, one.using) for one in surveys if one.wanted] if self._is_wanted(surveys) else []
        wanted = [
            (target, using)
            for target, using in places
            if requeue.is_any_wanted(target, conditions=chosen, page_size=options["batch_size"], using=using)
        ]
        if not wanted:
            self.stdout.write(NOTHING)
        return wanted

    def _databases(self, given: str | None) -> tuple[str, ...]:
        databases = conf.current().databases
        if given is not None and given not in databases:
            raise CommandError(f"EMBEDDINGS['DATABASES'] has no {given!r}; it has {', '.join(databases)}.")
        return databases if given is None else (given,)

    def _targets(self, labels: list[str] | None) -> list[Derived]:
        found = [t for label in labels for t in registry.get(label)] if labels else registry.all_derived()
        return list(dict.fromkeys(found))

    def _survey(
        self, places: list[Place], chosen: frozenset[requeue.Condition], options: dict[str, Any]
    ) -> list[Survey]:
        with self._progress("Counting", places) as advance:
            surveys = [
                requeue.survey(target, conditions=chosen, page_size=options["batch_size"], using=using, on_page=advance)
                for target, using in places
            ]
        for survey in surveys:
            self.stdout.write(f"{_name(survey)}: {_counts(survey)}.")
        wanted = any(survey.wanted for survey in surveys)
        self.stdout.write(f"To queue: {_work(surveys)}." if wanted else NOTHING)
        if options["rebuild_index"]:
            for sentence in rebuilding.plan(surveys):
                self.stdout.write(sentence)
        return surveys

    def _is_wanted(self, surveys: list[Survey]) -> bool:
        if not any(survey.wanted or survey.gone for survey in surveys):
            return False
        if not sys.stdin.isatty():
            raise CommandError("Nothing was queued: there is no terminal to ask on. Say --yes, or --dry-run.")
        return input("Queue them? [y/N] ").strip().lower() in {"y", "yes"}

    def _requeue(
        self, places: list[Place], using: str, chosen: frozenset[requeue.Condition], options: dict[str, Any]
    ) -> None:
        parameters = {
            "targets": [target.label for target, _ in places],
            "conditions": sorted(chosen),
            "priority": options["priority"],
        }
        batch = EmbeddingBatch.objects.using(using).create(name="requeue_missing", parameters=parameters)
        with self._progress("Queueing", places) as advance:
            surveys = [
                requeue.requeue(
                    target,
                    batch,
                    conditions=chosen,
                    priority=options["priority"],
                    page_size=options["batch_size"],
                    on_page=advance,
                )
                for target, _ in places
            ]
        queued = sum(survey.queued for survey in surveys)
        gone = sum(survey.gone for survey in surveys)
        if gone:
            self.stdout.write(f"Forgot {gone:,} tasks of rows that no longer exist.")
        if not queued:
            batch.delete()
            self.stdout.write(NOTHING)
            return
        where = "" if using == "default" else f" --database {using}"
        self.stdout.write(
            self.style.SUCCESS(
                f"Queued {_amount(surveys, 'queued')} as batch {batch.pk}. "
                f"To undo what still waits: manage.py requeue_missing --rollback {batch.pk}{where}"
            )
        )

    def _roll_back(self, pk: int, databases: tuple[str, ...]) -> None:
        using = databases[0]
        batch = EmbeddingBatch.objects.using(using).filter(pk=pk).first()
        if batch is None:
            raise CommandError(f"There is no batch {pk} in database {using!r}.")
        result = operations.roll_back(batch)
        self.stdout.write(f"Cancelled {result.changed:,} tasks of batch {pk}; {result.skipped:,} no longer waited.")

    @contextmanager
    def _progress(self, verb: str, places: list[Place]) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal; silence elsewhere."""
        console = Console(stderr=True)
        columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            total = sum(requeue.row_count(target, using) for target, using in places) if console.is_terminal else None
            bar = progress.add_task(verb, total=total)
            yield lambda rows: progress.advance(bar, rows)


def _rest(options: dict[str, Any]) -> str:
    """How a rebuild goes on that was cut off."""
    return " Run it again: it goes on, and builds what it has dropped." if options["rebuild_index"] else ""


def _name(survey: Survey) -> str:
    return survey.target.label if survey.using == "default" else f"{survey.target.label} ({survey.using})"


def _counts(survey: Survey) -> str:
    parts = [f"{survey.rows[condition]:,} {condition}" for condition in requeue.Condition if survey.rows[condition]]
    if survey.gone:
        parts.append(f"{survey.gone:,} tasks of deleted rows")
    return ", ".join(parts) or "no rows"


def _amount(surveys: list[Survey], count: Literal["wanted", "queued"]) -> str:
    """ "1,200 rows", "the chunks of 7 objects", or both."""
    rows = sum(getattr(survey, count) for survey in surveys if not survey.is_splitting)
    texts = sum(getattr(survey, count) for survey in surveys if survey.is_splitting)
    parts = [f"{rows:,} rows"] if rows or not texts else []
    if texts:
        parts.append(f"the chunks of {texts:,} {'objects' if texts > 1 else 'object'}")
    return " and ".join(parts)


def _work(surveys: list[Survey]) -> str:
    """ "1,200 rows, about 12,000 tokens, $0.0002, 30 s", and what is not known before texts are split."""
    is_splitting = any(survey.wanted for survey in surveys if survey.is_splitting)
    later = "; what chunks cost is known once the texts are split" if is_splitting else ""
    return f"{_amount(surveys, 'wanted')}, {_price(surveys)}{later}"


def _price(surveys: list[Survey]) -> str:
    """ "about 12,000 tokens, $0.0002, 30 s"."""
    costs = [survey.cost for survey in surveys if survey.wanted]
    seconds = [survey.seconds for survey in surveys if survey.wanted]
    tokens = f"about {sum(survey.tokens for survey in surveys):,} tokens"
    known_costs = [cost for cost in costs if cost is not None]
    known_seconds = [value for value in seconds if value is not None]
    cost = f"${sum(known_costs):,.4f}" if len(known_costs) == len(costs) else "cost unknown"
    time = f"about {_duration(sum(known_seconds))}" if len(known_seconds) == len(seconds) else "time unknown"
    return f"{tokens}, {cost}, {time}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
