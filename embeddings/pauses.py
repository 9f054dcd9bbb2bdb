"""What operators have paused: everything, a provider, or a target; by hand, and perhaps with an end.

Rows of the first of EMBEDDINGS["DATABASES"], judged by its clock. What is in flight when a pause begins is finished;
nothing more of what it names is begun. Saves go on recording, and searches asking: only those whose provider is paused
go by words.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from django.core.signals import setting_changed
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.dispatch import Signal, receiver
from django.utils import timezone
from django.utils.text import capfirst

from embeddings import audit, conf, registry
from embeddings.exceptions import Paused
from embeddings.models import EmbeddingOperation, Pause
from embeddings.registry import Derived

Kind = Pause.Kind

# What a process has read may be so old.
CACHE_SECONDS = 1.0

# Sent with `pause`, after the commit, when one is over: what waited for it may be claimed.
lifted = Signal()

_read: tuple[float, list[Pause]] = (float("-inf"), [])


def pause(kind: str, name: str = "", *, reason: str, by: str, ends_at: datetime | None = None) -> Pause:
    """Begin nothing more of what is named, until `ends_at` or until somebody resumes it; a pause of it is replaced.

    `name` is an alias of EMBEDDING_PROVIDERS, or a target ("content.article.embedding"). Raises ConfigurationError if
    there is none of that name, ValueError without a reason or for an end that has passed.
    """
    name = known(Kind(kind), name)
    if not reason.strip():
        raise ValueError("Give a reason: who finds it paused will want to know why.")
    values = {"reason": reason.strip()[:500], "by": by[:255], "ends_at": ends_at, "created_at": timezone.now()}
    with transaction.atomic(using=_database()):
        begun, _ = _pauses().update_or_create(kind=kind, name=name, defaults=values)
        if not in_force().filter(pk=begun.pk).exists():
            raise ValueError("The end of a pause must lie in the future.")
        message = f"{capfirst(str(begun))} was paused {until(begun)}: {begun.reason}"
        ends = ends_at and ends_at.isoformat()
        audit.record(audit.Kind.PAUSED, message, subject=str(begun), by=by, reason=begun.reason, ends_at=ends)
    forget()
    return begun


def resume(kind: str, name: str = "", *, by: str) -> bool:
    """Lift a pause; returns whether there was one. What waited goes on at once."""
    return bool(_lift(_pauses().filter(kind=kind, name=name).select_for_update(), "somebody lifted the pause", by))


def end_due() -> int:
    """Remove the pauses whose time is over; returns how many. Those that another worker removes are left to it."""
    due = _pauses().filter(ends_at__lte=Now())
    return _lift(due.select_for_update(skip_locked=True), "the time of its pause is over") if due.exists() else 0


def current() -> list[Pause]:
    """The pauses in force, at most a second old."""
    global _read
    read_at, pauses = _read
    if time.monotonic() - read_at >= CACHE_SECONDS:
        pauses = list(in_force())
        _read = (time.monotonic(), pauses)
    return pauses


def in_force() -> QuerySet[Pause]:
    """The pauses in force at this moment."""
    return _pauses().filter(Q(ends_at=None) | Q(ends_at__gt=Now()))


def until(begun: Pause) -> str:
    """How long a pause lasts, to be read after "paused"."""
    if begun.ends_at is None:
        return "until somebody resumes it"
    return f"until {begun.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def is_everything_paused() -> bool:
    return bool(_names(Kind.EVERYTHING))


def is_provider_paused(alias: str) -> bool:
    """Whether nothing at all may be sent to the provider, by searches neither."""
    return alias in _names(Kind.PROVIDER)


def open_providers(aliases: Iterable[str]) -> list[str]:
    """Those that are not paused, in their order; none while everything is."""
    return [] if is_everything_paused() else [alias for alias in aliases if not is_provider_paused(alias)]


def is_held(operation: EmbeddingOperation) -> bool:
    """Whether an operation in the background waits. What only ends work goes on: one may stop everything to do it."""
    return is_everything_paused() and operation.kind not in _ENDING


def open_operations(using: str) -> QuerySet[EmbeddingOperation]:
    """Those that nobody works on and that are not held."""
    free = EmbeddingOperation.objects.using(using).free()
    return free.filter(kind__in=_ENDING) if is_everything_paused() else free


_ENDING = (EmbeddingOperation.Kind.CANCEL, EmbeddingOperation.Kind.CLEAR)


def check(alias: str, target: Derived | None = None) -> None:
    """Raise Paused if who waits for this provider's vector, of this target, cannot have it now."""
    concerned = {(Kind.EVERYTHING, ""), (Kind.PROVIDER, alias)}
    if target is not None:
        concerned.add((Kind.TARGET, name_of(target)))
    for found in current():
        if (found.kind, found.name) in concerned:
            raise Paused(f"{capfirst(str(found))} is paused by an operator {until(found)}; try again then.")


def name_of(target: Derived) -> str:
    """A target as pauses name it: "content.article.embedding"."""
    return f"{target.model._meta.label_lower}.{target.field}"


def paused_targets(using: str) -> list[tuple[int, str]]:
    """(content type, field) of each paused target."""
    names = _names(Kind.TARGET)
    return [_key(target, using) for target in registry.all_derived() if names and name_of(target) in names]


def open_targets(providers: Collection[str], using: str) -> list[tuple[int, str, str]] | None:
    """(content type, field, provider) of each target of these providers that is not paused; None: no target is."""
    names = _names(Kind.TARGET)
    if not names:
        return None
    mine = (target for target in registry.all_derived() if target.provider in providers)
    return [(*_key(target, using), target.provider) for target in mine if name_of(target) not in names]


def forget() -> None:
    """Read again what is paused."""
    global _read
    _read = (float("-inf"), [])


def _lift(pauses: QuerySet[Pause], why: str, by: str = "") -> int:
    def tell() -> None:
        forget()
        for each in over:
            lifted.send(sender=Pause, pause=each)

    with transaction.atomic(using=_database()):
        over = list(pauses)
        _pauses().filter(pk__in=[each.pk for each in over]).delete()
        for each in over:
            audit.record(audit.Kind.RESUMED, f"{capfirst(str(each))} goes on: {why}.", subject=str(each), by=by)
        transaction.on_commit(tell, using=_database(), robust=True)
    return len(over)


def known(kind: Pause.Kind, name: str) -> str:
    """A name as it is stored; raises ConfigurationError if nothing is called so."""
    if kind == Kind.TARGET:
        return name_of(_only_target(name))
    if kind == Kind.PROVIDER:
        conf.provider_settings(name)
        return name
    return ""


def _only_target(name: str) -> Derived:
    found = next((target for target in registry.all_derived() if name_of(target) == name.lower()), None)
    return found or registry.get(name)[0]


def _names(kind: Pause.Kind) -> set[str]:
    return {found.name for found in current() if found.kind == kind}


def _key(target: Derived, using: str) -> tuple[int, str]:
    return target.content_type_id(using), target.field


def _pauses() -> QuerySet[Pause]:
    return Pause.objects.using(_database())


def _database() -> str:
    return conf.current().databases[0]


@receiver(setting_changed)
def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting == "EMBEDDINGS":
        forget()
