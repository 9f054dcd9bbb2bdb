from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from project.content import loading, sampling, sources


class Command(BaseCommand):
    """Load the reference content; a second run writes only what changed."""

    help = "Load the documentation of this Python and of the installed packages as articles, and samples of the rest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, help="load only so many articles, and remove none")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, limit: int | None, dry_run: bool, **options: Any) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit must be at least 1.")
        started = monotonic()
        planned = loading.plan(islice(sources.all_texts(), limit), complete=limit is None)
        if not dry_run:
            loading.carry_out(planned, lambda done: self._progress(done, planned.writes))
        seconds = "" if dry_run else f" in {monotonic() - started:.1f} s"
        self.stdout.write(f"{'Would load' if dry_run else 'Loaded'} the content{seconds}: {_counts(planned)}.")
        self.stdout.write(f"Samples {'to add' if dry_run else 'added'}: {_samples(dry_run)}.")

    def _progress(self, done: int, total: int) -> None:
        self.stdout.write(f"  {done:,} of {total:,} articles written")
        self.stdout.flush()


def _samples(dry_run: bool) -> str:
    """Load the samples; a dry run takes everything back."""
    with transaction.atomic():
        loaded = sampling.load()
        transaction.set_rollback(dry_run)
    return ", ".join(f"{count:,} {name}" for name, count in loaded.items())


def _counts(planned: loading.Plan) -> str:
    counts = {
        "added": len(planned.added),
        "updated": len(planned.updated),
        "unchanged": planned.unchanged,
        "removed": len(planned.removed),
        "kept as edited by hand": planned.kept,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what != "kept as edited by hand")
