"""From claimed tasks to the texts that a provider has to be asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from itertools import count
from typing import Any, NamedTuple

from django.db import ProgrammingError
from django.db.models.functions import Now

from embeddings import batching, conf, ledger, quotas, registry, writer
from embeddings.chunking import pieces
from embeddings.chunking.pieces import Piece
from embeddings.exceptions import ConfigurationError, SourceError
from embeddings.failure import Failure
from embeddings.ledger import Claim
from embeddings.models import EmbeddingTask
from embeddings.pipeline import unboxing
from embeddings.providers import Provider, get_provider
from embeddings.registry import NO_PROVIDER, Derived, Splitting, Target
from embeddings.text import LongText, SourceText, source_text

# So long two versions of the code may work side by side, while a new one is rolled out.
ROLLOUT = timedelta(minutes=15)


class Item(NamedTuple):
    """A claimed task with the text that its row held when it was read, and the version of the row then ("": boxed)."""

    claim: Claim
    target: Target
    using: str
    text: SourceText
    xmin: str

    @property
    def name(self) -> str:
        """Of its object, for messages."""
        return self.target.name_of(self.claim.object_id)


class Effect(Enum):
    """What settling an item does to its column."""

    WRITE = "write"
    # The column holds the vector of this very text already.
    KEEP = "keep"
    # There is no text.
    CLEAR = "clear"


class Settlement(NamedTuple):
    """An item whose work is done, up to writing it down."""

    item: Item
    effect: Effect
    vector: Any = None
    tokens: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """Distinct texts for one call, each with the items that wait for its vector. All items are of one claim."""

    provider: Provider
    using: str
    texts: tuple[str, ...]
    items: tuple[tuple[Item, ...], ...]
    # How often the (single) text was cut because the provider found it too long.
    cuts: int = 0
    # In the log; of this process.
    number: int = field(default_factory=count(1).__next__, compare=False)

    @property
    def claims(self) -> list[Claim]:
        return [item.claim for items in self.items for item in items]

    @property
    def tokens(self) -> int:
        """The estimate for its texts."""
        return sum(same[0].text.tokens for same in self.items)

    def part(self, start: int, stop: int) -> ProviderRequest:
        """The request for some of the texts."""
        return ProviderRequest(self.provider, self.using, self.texts[start:stop], self.items[start:stop], self.cuts)


@dataclass(frozen=True, slots=True)
class LongRow:
    """A claimed task whose text is to be split, and the row that holds it."""

    claim: Claim
    splitting: Splitting
    parent: writer.Row


@dataclass(frozen=True, slots=True)
class Split:
    """A claimed task whose text, as its row held it when it was read, has been split."""

    claim: Claim
    splitting: Splitting
    using: str
    parent: writer.Row
    text: LongText
    pieces: list[Piece]


@dataclass(slots=True)
class Intake:
    """What became of the tasks of one claim."""

    requests: list[ProviderRequest] = field(default_factory=list)
    long_rows: list[LongRow] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    failures: list[tuple[Claim, Failure]] = field(default_factory=list)
    # Tasks of a model whose table is not what the code expects.
    postponed: list[tuple[list[Claim], Failure]] = field(default_factory=list)


def take(claims: Sequence[Claim], using: str, keep_alive: Callable[[], object] = lambda: None) -> Intake:
    """Read the present texts of claimed tasks and sort out those that need no provider.

    `keep_alive` is called between texts, which the project's own code may make slowly.
    """
    intake = Intake()
    wanted: dict[str, list[Item]] = defaultdict(list)
    by_target: dict[tuple[int, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        by_target[claim.content_type_id, claim.field].append(claim)
    for (content_type_id, field_name), group in by_target.items():
        target = registry.find(content_type_id, field_name, using)
        if target is None:
            _sort_out_unknown(group, using, intake)
            continue
        strays = [claim for claim in group if claim.provider != target.provider]
        if strays and target.provider in {NO_PROVIDER, *conf.provider_aliases()}:
            # Another's lane would not know when to wait.
            ledger.release(strays, provider=target.provider, using=using)
            group = [claim for claim in group if claim.provider == target.provider]
        try:
            rows = _load(target, group, using, intake)
        except (ProgrammingError, ConfigurationError) as exc:
            failure = replace(Failure.of(exc), kind="configuration", about=target.label)
            intake.postponed.append((group, failure))
            continue
        if isinstance(target, Target):
            wanted[target.provider] += _read(target, rows, using, intake, keep_alive)
        elif isinstance(target, Splitting):
            intake.long_rows += [LongRow(claim, target, row) for claim, row in rows]
    for alias, items in wanted.items():
        intake.requests += _shape(get_provider(alias), using, items)
    return intake


def _sort_out_unknown(claims: list[Claim], using: str, intake: Intake) -> None:
    """The tasks of a field that this process does not know: new ones wait, as long as a new version may be rolled out
    of which this worker knows nothing; the others are failed."""
    tasks = EmbeddingTask.objects.using(using).filter(pk__in=[claim.id for claim in claims])
    new = set(tasks.filter(created_at__gt=Now() - ROLLOUT).values_list("pk", flat=True))
    for claim in claims:
        failure = Failure(
            "configuration",
            "UnknownTarget",
            f"No model field is embedded as {claim.field!r} (any more, or in this worker's version of the code).",
            about=registry.name_of(claim.content_type_id, claim.object_id, using),
        )
        if claim.id in new:
            intake.postponed.append(([claim], failure))
        else:
            intake.failures.append((claim, failure))


def _load(target: Derived, claims: list[Claim], using: str, intake: Intake) -> list[tuple[Claim, writer.Row]]:
    """The tasks with their rows, stored or from a box; tasks without go: deleted if the row is gone, failed if it can
    never have been."""
    _check_means(target)
    possible = []
    for claim in claims:
        if target.is_key(claim.object_id):
            possible.append(claim)
            continue
        message = f"The key of {target.model._meta.label} has changed its type: no object can have this one."
        failure = Failure("input", "ImpossibleKey", message, about=target.name_of(claim.object_id))
        intake.failures.append((claim, failure))
    unboxed, failures = unboxing.unbox(target, [claim for claim in possible if claim.is_boxed], using)
    intake.failures += failures
    stored = [claim for claim in possible if not claim.is_boxed]
    rows = writer.load(target, [claim.object_id for claim in stored], using)
    gone = [claim for claim in stored if claim.object_id not in rows]
    if gone:
        ledger.discard(gone, using=using)
    return [(claim, rows[claim.object_id]) for claim in stored if claim.object_id in rows] + unboxed


def _check_means(target: Derived) -> None:
    """Raise ConfigurationError without what nothing can be done without."""
    if isinstance(target, Target):
        get_provider(target.provider)
    elif isinstance(target, Splitting):
        pieces.require()
        assert target.parent_field


def _read(
    target: Target,
    rows: list[tuple[Claim, writer.Row]],
    using: str,
    intake: Intake,
    keep_alive: Callable[[], object],
) -> list[Item]:
    """The items of one target that need a vector; the others go into `intake`."""
    provider = get_provider(target.provider)
    items = []
    for claim, row in rows:
        keep_alive()
        try:
            text = source_text(row.instance, target, provider)
        except SourceError as exc:
            about = target.name_of(claim.object_id)
            intake.failures.append((claim, Failure.of(exc, about=about, private=words(row.instance))))
            continue
        item = Item(claim, target, using, text, row.xmin)
        if not text.text:
            intake.settlements.append(Settlement(item, Effect.CLEAR))
        elif row.has_vector and claim.fingerprint == text.fingerprint:
            intake.settlements.append(Settlement(item, Effect.KEEP, truncated=text.truncated))
        else:
            items.append(item)
    return items


def words(instance: Any) -> list[str]:
    """The texts that an object holds, but for its key, which is no secret."""
    values = {name: value for name, value in vars(instance).items() if name != instance._meta.pk.attname}
    return [value for value in values.values() if isinstance(value, str)]


def _shape(provider: Provider, using: str, items: Iterable[Item]) -> list[ProviderRequest]:
    """Requests within the provider's limits; equal texts are asked for once."""
    by_fingerprint: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_fingerprint[item.text.fingerprint].append(item)
    groups = batching.split(
        ((same, same[0].text.tokens) for same in by_fingerprint.values()),
        max_inputs=min(provider.max_inputs, conf.current().batch_size),
        max_tokens=quotas.request_tokens(provider),
    )
    return [
        ProviderRequest(
            provider,
            using,
            texts=tuple(same[0].text.text for same in group),
            items=tuple(tuple(same) for same in group),
        )
        for group in groups
    ]
