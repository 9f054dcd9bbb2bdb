"""`requeue_missing --rebuild-index`: what it would do, and what comes after the rows were queued."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from embeddings import indexes, registry
from embeddings.cli import filling
from embeddings.cli.telling import Teller
from embeddings.indexes import Index, Rebuild
from embeddings.registry import Derived, Splitting
from embeddings.requeue import Survey, row_count

# For 256 dimensions and m = 16 on two cores: good to tell minutes from hours.
BUILD_ROWS_PER_SECOND = 2_500
# Where fewer rows are filled, the index takes them up faster than it is built.
WORTH_SHARE = 0.25


def plan(surveys: Sequence[Survey]) -> Iterator[str]:
    """A sentence for each index that would be dropped, or is still to be built."""
    for using in dict.fromkeys(survey.using for survey in surveys):
        for record in indexes.unfinished(using):
            yield f"To build: the index {record} of {record.target}, which an earlier run has begun to drop."
    for survey in surveys:
        found = indexes.of_target(survey.target, survey.using) if survey.wanted else []
        for index in found:
            if not index.is_leftover:
                yield from _sentences(index, survey)


def finish(rebuild: Rebuild, targets: Iterable[Derived], using: str, teller: Teller) -> None:
    """Wait for the tasks of these targets, and of the chunks of their texts; then build what is on record."""
    if not rebuild.unfinished():
        return
    if not filling.wait(_with_chunks(targets), using, teller):
        teller.say("What is left comes into the index row by row.")
    rebuild.build()


def _sentences(index: Index, survey: Survey) -> Iterator[str]:
    rows = row_count(survey.target, survey.using)
    fill = "during the backfill" if survey.seconds is None else f"for about {_duration(survey.seconds)}"
    build = _duration(rows / BUILD_ROWS_PER_SECOND)
    yield (
        f"To drop, and to build again: the index {index.name} ({index.method}, {index.size / 2**20:,.0f} MB). Searches "
        f"compare every row {fill}, and while it is built: roughly {build}."
    )
    if survey.wanted < rows * WORTH_SHARE and not survey.is_splitting:
        yield f"Only {survey.wanted:,} of {rows:,} rows are to be filled: it may be faster without --rebuild-index."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _with_chunks(targets: Iterable[Derived]) -> list[Derived]:
    found: dict[Derived, None] = {}
    for target in targets:
        chunks = registry.targets_for(target.chunk_model) if isinstance(target, Splitting) else ()
        found |= dict.fromkeys([target, *chunks])
    return list(found)
