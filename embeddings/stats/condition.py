"""How things stand in one sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from django.utils.text import capfirst

from embeddings.durations import duration
from embeddings.models import Pause, ProviderState, Status
from embeddings.stats.situation import Situation, situation
from embeddings.stats.wording import counted, ending, left, shortened, waiting

# All is done; work goes on; somebody should look; nothing goes on.
Level = Literal["well", "busy", "degraded", "down"]
_WORST_FIRST: tuple[Level, ...] = ("down", "degraded", "busy", "well")

# A task that is due is taken within a second or two; if none was for so long, none will be.
STUCK_SECONDS = 60.0
# Workers count the ledger more often than this.
OLD_COUNT_SECONDS = 600.0

Reason = ProviderState.Reason
# Why a provider rests that goes on by itself.
_RESTS = {Reason.RATE_LIMIT: "has asked to slow down", Reason.QUOTA: "has used up its quota for now"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is the case."""

    level: Level
    # What is the case, and what to do; the latter "" where there is nothing to do.
    sentence: str
    advice: str = ""
    # The model in whose pages there is more of it: "workerstatus"; "" for none.
    page: str = ""


Judgement = Callable[[Situation], Iterator[Condition]]


def condition() -> Condition:
    """How things stand now."""
    return conditions(situation())[0]


def conditions(now: Situation) -> list[Condition]:
    """All that is the case, the worst first; what explains other things before them. Never empty."""
    if not now.settings.enabled:
        return [_switched_off()]
    found = _found(_CAUSES, now)
    if all(one.level != "down" for one in found):  # Then it is no news that tasks wait.
        found += _found(_CONSEQUENCES, now)
    return sorted(found, key=lambda one: _WORST_FIRST.index(one.level)) or [_quiet(now)]


def _found(judgements: tuple[Judgement, ...], now: Situation) -> list[Condition]:
    return [found for judgement in judgements for found in judgement(now)]


def _switched_off() -> Condition:
    return Condition(
        "degraded",
        "Embedding is switched off: saves are not recorded, and searches are by keyword.",
        'Set EMBEDDINGS["ENABLED"] to True and restart; then manage.py requeue_missing finds what was saved meanwhile.',
    )


def _everything_paused(now: Situation) -> Iterator[Condition]:
    for pause in now.paused(Pause.Kind.EVERYTHING):
        yield _paused("Everything", pause, now)


def _no_worker(now: Situation) -> Iterator[Condition]:
    if now.workforce.alive or not now.settings.queue_enabled:
        return
    advice = f"Start one: manage.py rqworker {now.settings.queue}"
    if now.workforce.silent:
        last = duration(now.seconds_since(now.workforce.silent[0].heartbeat_at))
        advice += f" (the last was heard of {last} ago, and did not stop in order: its log may say why)"
    if now.waiting or now.in_hand:
        yield Condition("down", f"Nothing is working: no worker is alive, and {waiting(now)}.", advice, "workerstatus")
    else:
        sentence = "No worker is alive. Nothing waits yet, but what is saved from now on will."
        yield Condition("degraded", sentence, advice, "workerstatus")


def _left_without_queue(now: Situation) -> Iterator[Condition]:
    if now.settings.queue_enabled or now.workforce.alive or not now.waiting:
        return
    yield Condition(
        "degraded",
        f"The queue is off, so there is no worker to try again, and {waiting(now)}.",
        "Save these objects again, or run manage.py requeue_missing.",
        "embeddingtask",
    )


def _redis_away(now: Situation) -> Iterator[Condition]:
    if now.workforce.queue is not None or not now.settings.queue_enabled:
        return
    advice = "Start it, or look at RQ_QUEUES. Nothing is lost: saves are recorded, and all goes on when it is back."
    if now.waiting:
        yield Condition("down", f"Redis cannot be reached, so no new work starts, and {waiting(now)}.", advice)
    else:
        yield Condition("degraded", "Redis cannot be reached, so no new work would start.", advice)


def _blocked(now: Situation) -> Iterator[Condition]:
    paused = {pause.name for pause in now.paused(Pause.Kind.PROVIDER)}
    blocked = {one.alias: one for one in now.states if one.blocked_reason in {Reason.CIRCUIT, Reason.CONFIGURATION}}
    wanted = [alias for alias in now.providers if alias in blocked and alias not in paused]
    is_down = bool(now.waiting) and set(now.providers) <= set(blocked) | paused
    for alias in wanted:
        yield _of_blocked(blocked[alias], now, "down" if is_down else "degraded")


def _of_blocked(state: ProviderState, now: Situation, level: Level) -> Condition:
    until = state.blocked_until
    seconds = 0.0 if until is None else (until - now.now).total_seconds()
    again = f"in {duration(seconds)}" if seconds > 0 else "now"
    error = f" It said: “{shortened(state.last_error)}”" if state.last_error else ""
    if state.blocked_reason == Reason.CONFIGURATION:
        sentence = f"Provider {state.alias} is not called: it refuses every request.{error}"
        advice = (
            "Correct EMBEDDING_PROVIDERS (the key, the model or its dimensions) and restart the workers; "
            f"its tasks then go on by themselves. It is tried again {again}."
        )
    else:
        sentence = f"Provider {state.alias} is not called: it failed {state.failures_in_a_row} times in a row.{error}"
        advice = (
            f"It is tried again {again}, and goes on by itself with the first answer; no attempt is charged meanwhile. "
            "If it lasts, look whether the provider has an outage, and whether it can be reached from the workers."
        )
    return Condition(level, sentence, advice, "providerstate")


def _keeps_waiting(state: ProviderState, now: Situation) -> bool:
    """Whether a provider is not called, or was not a moment ago. A rest is known until the next answer, though over."""
    is_over = state.blocked_reason in _RESTS and now.seconds_since(state.blocked_until or now.now) > STUCK_SECONDS
    return bool(state.blocked_reason) and not is_over


def _stuck(now: Situation) -> Iterator[Condition]:
    is_due = bool(now.count(Status.PENDING)) and not now.in_hand and not now.speed
    has_waited = (now.waiting_seconds or 0.0) > STUCK_SECONDS
    is_explained = now.pauses or any(_keeps_waiting(state, now) for state in now.states) or now.workforce.queue is None
    if not (is_due and has_waited and now.workforce.alive) or is_explained:
        return
    yield Condition(
        "down",
        f"Workers are alive but take no tasks, and {waiting(now)}.",
        "Look at the workers' logs for errors of the database, at the database's health below, and whether the workers "
        "run the same settings as this page.",
        "workerstatus",
    )


def _provider_paused(now: Situation) -> Iterator[Condition]:
    for pause in now.paused(Pause.Kind.PROVIDER):
        yield _paused(f"Provider {pause.name}", pause, now)


def _target_paused(now: Situation) -> Iterator[Condition]:
    for pause in now.paused(Pause.Kind.TARGET):
        yield _paused(f"Target {pause.name}", pause, now)


def _paused(what: str, pause: Pause, now: Situation) -> Condition:
    by = f" by {pause.by}" if pause.by else ""
    reason = f": {shortened(pause.reason)}" if pause.reason else ""
    since = duration(now.seconds_since(pause.created_at))
    sentence = f"{what} was paused{by} {since} ago, {ending(pause, now)}{reason}".rstrip(".") + "."
    tasks = f" Meanwhile {waiting(now)}." if now.waiting and pause.kind == Pause.Kind.EVERYTHING else ""
    return Condition("degraded", sentence + tasks, "Resume it once the reason is gone; nothing is lost.", "pause")


def _many_failed(now: Situation) -> Iterator[Condition]:
    failed = now.count(Status.FAILED)
    if not now.settings.alert_failed or failed < now.settings.alert_failed:
        return
    yield Condition(
        "degraded",
        capfirst(f"{counted(failed, now, 'task has failed', 'tasks have failed')} for good."),
        "See what went wrong, remove the cause, and retry that group.",
        "failuregroup",
    )


def _waits_too_long(now: Situation) -> Iterator[Condition]:
    limit = now.settings.alert_waiting_seconds
    if not limit or now.waiting_seconds is None or now.waiting_seconds < limit or now.paused(Pause.Kind.EVERYTHING):
        return
    at_this_speed = "" if now.eta_seconds is None else f" At this speed all is done in {duration(now.eta_seconds)}."
    on_purpose = "What is paused waits on purpose; of the rest: more" if now.pauses else "More"
    yield Condition(
        "degraded",
        f"A task has waited for {duration(now.waiting_seconds)}.{at_this_speed}",
        f"{on_purpose} workers help unless a provider's quota is the limit: see the providers below.",
        "providerstate",
    )


def _old_counts(now: Situation) -> Iterator[Condition]:
    counted_at = now.counts.counted_at
    if counted_at is None or now.seconds_since(counted_at) < OLD_COUNT_SECONDS or not now.workforce.alive:
        return
    age = duration(now.seconds_since(counted_at))
    sentence = f"The tasks were counted {age} ago, so these numbers are old."
    yield Condition("degraded", sentence, "Workers count them; see in their logs why they do not.", "workerstatus")


def _endpoints(now: Situation) -> Iterator[Condition]:
    for endpoint in now.endpoints:
        if endpoint.is_enabled and endpoint.failing_since is not None:
            since = duration(now.seconds_since(endpoint.failing_since))
            sentence = f"The webhook endpoint {endpoint.name} has taken no message for {since}."
            advice = "See in its deliveries what it answers. They are tried again; after 5 days it is disabled."
        else:
            sentence = f"The webhook endpoint {endpoint.name} was disabled. {endpoint.disabled_reason}"
            advice = "Mend its receiver, enable it, and send again what it has missed; or delete it."
        yield Condition("degraded", sentence, advice, "webhookendpoint")


def _rate_limited(now: Situation) -> Iterator[Condition]:
    for state in now.states:
        until = state.blocked_until
        if state.blocked_reason not in _RESTS or until is None or until <= now.now or not now.waiting:
            continue
        sentence = f"Provider {state.alias} {_RESTS[Reason(state.blocked_reason)]}; {waiting(now)}."
        advice = f"Nothing to do: it goes on in {left(until, now)}. If it happens often, ask for a higher quota."
        yield Condition("busy", sentence, advice, "providerstate")


def _working(now: Situation) -> Iterator[Condition]:
    if not (now.waiting or now.in_hand):
        return
    if now.waiting == now.count(Status.SCHEDULED) and not now.in_hand:
        tasks = counted(now.waiting, now, "task waits for its time", "tasks wait for their time")
        yield Condition(
            "busy", f"{capfirst(tasks)}: a delay after a save, or before the next attempt.", page="embeddingtask"
        )
        return
    parts = [counted(now.waiting, now, "waiting") if now.waiting else counted(now.in_hand, now, "in hand")]
    if now.waiting_seconds is not None:
        parts.append(f"the oldest for {duration(now.waiting_seconds)}")
    if now.eta_seconds is not None:
        parts += [per_second(now.speed), f"done in {duration(now.eta_seconds)}"]
    yield Condition("busy", capfirst(f"{', '.join(parts)}."), page="embeddingtask")


def per_second(speed: float) -> str:
    """ "210 a second", "0.4 a second"."""
    return f"{speed:,.0f} a second" if speed >= 10 else f"{speed:.1f} a second"


def _quiet(now: Situation) -> Condition:
    """Nothing waits and nothing is wrong."""
    if not any(now.counts.by_status.values()):
        advice = "Save an object of a model with an embedding, or queue what is there: manage.py requeue_missing."
        return Condition("well", "There is nothing to embed yet.", advice)
    if failed := now.count(Status.FAILED):
        tasks = counted(failed, now, "task has failed", "tasks have failed")
        return Condition("well", f"Nothing waits; {tasks}.", "See why, and retry what can be mended.", "failuregroup")
    if cancelled := now.count(Status.CANCELLED):
        tasks = counted(cancelled, now, "task was cancelled", "tasks were cancelled")
        return Condition("well", f"Nothing waits; {tasks}.", page="embeddingtask")
    if not now.settings.queue_enabled:
        return Condition("well", "Nothing waits. The queue is off: whoever saves embeds, right after the commit.")
    return Condition("well", "All is done: every vector that was asked for is there.")


# What explains others comes before them.
_CAUSES: tuple[Judgement, ...] = (
    _everything_paused,
    _no_worker,
    _redis_away,
    _left_without_queue,
    _blocked,
    _stuck,
    _provider_paused,
    _many_failed,
    _target_paused,
    _old_counts,
    _endpoints,
)
_CONSEQUENCES: tuple[Judgement, ...] = (_waits_too_long, _rate_limited, _working)
