from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from embeddings.broker import QueueView
from embeddings.conf import EmbeddingSettings
from embeddings.models import Pause, ProviderState, WorkerStatus
from embeddings.stats import Situation, Workforce, conditions
from embeddings.stats.census import LedgerCounts

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
ALIVE = [WorkerStatus(name="host.1", heartbeat_at=NOW)]
REDIS = QueueView(depth=0, workers=frozenset({"host.1"}))


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


def situation(
    *,
    waiting_since=None,
    counted_at=None,
    is_estimate=False,
    alive=ALIVE,
    silent=(),
    queue=REDIS,
    settings=None,
    **given,
) -> Situation:
    """A situation in which all is well but for what is given; whole numbers by status are tasks."""
    statuses = {"pending", "scheduled", "rate_limited", "processing", "completed", "failed", "cancelled"}
    tasks = {name: given.pop(name) for name in list(given) if name in statuses}
    return Situation(
        counts=LedgerCounts(tasks, waiting_since, counted_at, is_estimate),
        workforce=Workforce(list(alive), list(silent), queue),
        settings=EmbeddingSettings(**(settings or {})),
        providers=given.pop("providers", ["default"]),
        now=NOW,
        **given,
    )


def judged(**given: object) -> tuple[str, str]:
    """(level, sentence) of the worst that is the case."""
    worst = conditions(situation(**given))[0]
    return worst.level, worst.sentence


def state(reason: str, *, alias: str = "default", seconds: float = 20, **values: object) -> ProviderState:
    return ProviderState(alias=alias, blocked_reason=reason, blocked_until=NOW + timedelta(seconds=seconds), **values)


def pause(kind: str, name: str = "", **values: object) -> Pause:
    return Pause(kind=kind, name=name, **{"reason": "too dear", "by": "ada", "created_at": ago(hours=2), **values})


class TestQuiet:
    def test_conditions__of_cancelled_tasks(self):
        assert judged(completed=7, cancelled=1) == ("well", "Nothing waits; 1 task was cancelled.")

    def test_conditions__nothing_yet(self):
        level, sentence = judged()

        assert (level, sentence) == ("well", "There is nothing to embed yet.")

    def test_conditions__all_done(self):
        assert judged(completed=7) == ("well", "All is done: every vector that was asked for is there.")

    def test_conditions__few_failed(self):
        worst = conditions(situation(completed=7, failed=1))[0]

        assert (worst.level, worst.sentence) == ("well", "Nothing waits; 1 task has failed.")
        assert worst.page == "failuregroup"

    def test_conditions__queue_off(self):
        level, sentence = judged(completed=7, settings={"queue_enabled": False}, alive=[], queue=None)

        assert level == "well"
        assert "whoever saves embeds" in sentence


class TestBusy:
    def test_conditions__working(self):
        given = {"pending": 3_000, "scheduled": 156, "processing": 256, "speed": 200.0}

        assert judged(**given, waiting_since=ago(minutes=4)) == (
            "busy",
            "3,156 waiting, the oldest for 4 min, 200 a second, done in 17 s.",
        )

    def test_conditions__slowly(self):
        assert judged(pending=3, speed=0.5) == ("busy", "3 waiting, 0.5 a second, done in 6 s.")

    def test_conditions__estimated(self):
        assert judged(pending=3_000, is_estimate=True) == ("busy", "About 3,000 waiting.")

    def test_conditions__only_in_hand(self):
        assert judged(processing=12) == ("busy", "12 in hand.")

    def test_conditions__only_delayed(self):
        assert judged(scheduled=1) == (
            "busy",
            "1 task waits for its time: a delay after a save, or before the next attempt.",
        )

    def test_conditions__rate_limited(self):
        worst = conditions(situation(rate_limited=5, states=[state("rate_limit")]))[0]

        assert worst.level == "busy"
        assert worst.sentence == "Provider default has asked to slow down; 5 tasks wait."
        assert "it goes on in 20 s" in worst.advice

    def test_conditions__quota_used_up(self):
        worst = conditions(situation(rate_limited=5, states=[state("quota")]))[0]

        assert worst.level == "busy"
        assert worst.sentence == "Provider default has used up its quota for now; 5 tasks wait."

    def test_conditions__rate_limit_is_over(self):
        assert judged(pending=5, states=[state("rate_limit", seconds=-1)]) == ("busy", "5 waiting.")


class TestDown:
    def test_conditions__no_worker(self):
        worst = conditions(situation(pending=12, alive=[], speed=3.0))[0]

        assert (worst.level, worst.page) == ("down", "workerstatus")
        assert worst.sentence == "Nothing is working: no worker is alive, and 12 tasks wait."
        assert worst.advice == "Start one: manage.py rqworker embeddings"

    def test_conditions__no_worker_with_tasks_in_hand(self):
        assert judged(processing=1, alive=[])[1].endswith("no worker is alive, and 1 task is in hand.")

    def test_conditions__worker_fell_silent(self):
        silent = [WorkerStatus(name="host.9", heartbeat_at=ago(minutes=3))]

        (worst,) = conditions(situation(alive=[], silent=silent))

        assert worst.level == "degraded"
        assert worst.sentence == "No worker is alive. Nothing waits yet, but what is saved from now on will."
        assert "heard of 3 min ago" in worst.advice

    def test_conditions__redis_away(self):
        level, sentence = judged(pending=2, queue=None)

        assert (level, sentence) == ("down", "Redis cannot be reached, so no new work starts, and 2 tasks wait.")
        assert judged(queue=None)[0] == "degraded"

    def test_conditions__wrong_key(self):
        states = [state("configuration", last_error="Incorrect\nkey.")]

        worst = conditions(situation(pending=2, states=states))[0]

        assert (worst.level, worst.page) == ("down", "providerstate")
        assert worst.sentence == "Provider default is not called: it refuses every request. It said: “Incorrect key.”"
        assert "It is tried again in 20 s." in worst.advice

    def test_conditions__one_of_two_providers_fails(self):
        states = [state("circuit", failures_in_a_row=5, seconds=-3)]

        worst = conditions(situation(pending=2, states=states, providers=["default", "other"]))[0]

        assert (worst.level, worst.sentence) == (
            "degraded",
            "Provider default is not called: it failed 5 times in a row.",
        )
        assert worst.advice.startswith("It is tried again now")

    def test_conditions__nobody_claims(self):
        given = {"pending": 9, "waiting_since": ago(seconds=61)}

        assert judged(**given) == ("down", "Workers are alive but take no tasks, and 9 tasks wait.")
        assert judged(**{**given, "waiting_since": ago(seconds=59)})[0] == "busy"
        assert judged(**given, speed=0.1)[0] == "busy"
        assert judged(**given, processing=1)[0] == "busy"
        assert judged(**given, states=[state("quota", seconds=-59)])[0] == "busy"
        assert judged(**given, states=[state("quota", seconds=-61)])[0] == "down"


class TestDegraded:
    def test_conditions__switched_off(self):
        level, sentence = judged(pending=2, alive=[], settings={"enabled": False})

        assert level == "degraded"
        assert sentence.startswith("Embedding is switched off")

    def test_conditions__everything_paused(self):
        level, sentence = judged(pending=2, waiting_since=ago(hours=1), pauses=[pause("everything")])

        assert level == "degraded"
        assert sentence == (
            "Everything was paused by ada 2 h ago, until somebody resumes it: too dear. Meanwhile 2 tasks wait."
        )

    def test_conditions__provider_paused(self):
        paused = pause("provider", "default", ends_at=NOW + timedelta(minutes=12))

        found = conditions(situation(pauses=[paused], states=[state("circuit")]))

        assert [one.sentence for one in found] == [
            "Provider default was paused by ada 2 h ago, for another 12 min: too dear."
        ]

    @pytest.mark.parametrize(
        ("end", "said"),
        [
            (timedelta(seconds=0.4), "for another 1 s"),
            (timedelta(minutes=59, seconds=59), "for another 59 min"),
            (timedelta(hours=4), "until 16:00"),
            (timedelta(days=3), "until Jan 5, 12:00"),
        ],
    )
    def test_conditions__a_pause_ends_at_a_time(self, end, said):
        paused = pause("provider", "default", ends_at=NOW + end)

        assert f", {said}" in conditions(situation(pauses=[paused]))[0].sentence

    def test_conditions__target_paused(self):
        level, sentence = judged(pauses=[pause("target", "content.article.embedding", reason="", by="")])

        assert level == "degraded"
        assert sentence == "Target content.article.embedding was paused 2 h ago, until somebody resumes it."

    @pytest.mark.parametrize(
        ("failed", "limit", "level"), [(100, 100, "degraded"), (99, 100, "well"), (100, 0, "well")]
    )
    def test_conditions__many_failed(self, failed, limit, level):
        assert judged(failed=failed, settings={"alert_failed": limit})[0] == level

    def test_conditions__do_not_ask_for_workers_while_everything_is_paused(self):
        found = conditions(situation(pending=9, waiting_since=ago(hours=3), pauses=[pause("everything")]))

        assert not [one for one in found if "workers" in one.advice]

    def test_conditions__waits_beside_a_pause(self):
        found = conditions(situation(pending=9, waiting_since=ago(hours=3), pauses=[pause("target", "a.b.c")]))

        (late,) = [one for one in found if one.sentence.startswith("A task has waited")]
        assert late.advice.startswith("What is paused waits on purpose; of the rest: more workers help")

    def test_conditions__waits_too_long(self):
        given = {"pending": 7_200, "speed": 1.0, "settings": {"alert_waiting_seconds": 60.0}}

        assert judged(**given, waiting_since=ago(seconds=61)) == (
            "degraded",
            "A task has waited for 1 min. At this speed all is done in 2 h.",
        )
        assert judged(**given, waiting_since=ago(seconds=59))[0] == "busy"

    def test_conditions__queue_off_with_tasks_left(self):
        level, sentence = judged(pending=1, alive=[], queue=None, settings={"queue_enabled": False})

        assert (level, sentence) == (
            "degraded",
            "The queue is off, so there is no worker to try again, and 1 task waits.",
        )

    def test_conditions__old_counts(self):
        assert judged(completed=1, counted_at=ago(minutes=12)) == (
            "degraded",
            "The tasks were counted 12 min ago, so these numbers are old.",
        )
        assert judged(completed=1, counted_at=ago(minutes=9))[0] == "well"


def test_conditions__worst_first():
    found = conditions(situation(pending=1, failed=500, alive=[], queue=None, pauses=[pause("target", "a.b.c")]))

    assert [one.level for one in found] == ["down", "down", "degraded", "degraded"]
    assert found[0].sentence.startswith("Nothing is working: no worker")


def test_conditions__what_goes_on_besides():
    found = conditions(situation(pending=1, failed=500))

    assert [one.level for one in found] == ["degraded", "busy"]
    assert found[-1].sentence == "1 waiting."
