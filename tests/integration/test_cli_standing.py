from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from embeddings import cli, heartbeats, pauses, stats
from embeddings.models import EmbeddingTask, Pause, Status
from tests.integration.command_line import run
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

READING = ("status", "health", "stats", "metrics", "workers", "recent", "failed", "stuck", "operations", "batches")


@pytest.fixture
def worker() -> None:
    heartbeats.born("host.1")


@pytest.mark.parametrize("name", READING)
def test_reading__an_empty_ledger(worker, name):
    as_text, as_json = run(name), run(name, "--json")

    assert as_text.code == as_json.code == 0
    assert as_text.out.strip()
    assert isinstance(as_json.data, dict)


@pytest.mark.parametrize("name", cli.SUBCOMMANDS)
def test_help__of_each(name, capsys):
    ran = run(name, "--help")

    assert ran.code == 0
    assert cli.SUBCOMMANDS[name].summary in capsys.readouterr().out


def test_health__well(worker):
    Post.objects.create(title="a")

    ran = run("health", "--json")

    assert ran.code == 0
    assert ran.data["level"] == "well"
    assert ran.data["waiting"] == 1
    assert ran.data["exitCode"] == 0


def test_health__down_without_a_worker():
    Post.objects.create(title="a")

    ran = run("health")

    assert ran.code == stats.EXIT_CODES["down"]
    assert ran.out.startswith("down: Nothing is working: no worker is alive, and 1 task waits.")
    assert "manage.py rqworker" in ran.out
    assert ran.out.count("\n") == 1


def test_status__degraded_by_a_pause_with_what_to_do(worker):
    pauses.pause(Pause.Kind.EVERYTHING, reason="lunch", by="anna")

    as_text, as_json = run("status"), run("status", "--json")

    assert as_text.code == as_json.code == 1
    assert "degraded: Everything was paused by anna" in as_text.out
    assert "Resume it" in as_text.out
    assert "until somebody resumes it: lunch" in as_text.out
    assert as_json.data["pauses"][0]["reason"] == "lunch"


def test_stats__adds_up(worker, drain):
    Post.objects.create(title="a")
    drain()
    make_task(Status.FAILED, error_signature="input: InputRejected")

    as_text, as_json = run("stats"), run("stats", "--json")

    assert as_json.data["counts"]["completed"] == 1
    assert as_json.data["counts"]["failed"] == 1
    assert as_json.data["completed"] == 1
    assert as_json.data["providers"][0]["requests"] == 1
    (of_posts,) = (one for one in as_json.data["targets"] if one["target"] == "testapp.post.embedding")
    assert (of_posts["embedded"], of_posts["failed"]) == (1, 1)
    assert [one["signature"] for one in as_json.data["failures"]] == ["input: InputRejected"]
    assert "testapp.post.embedding" in as_text.out
    assert "testapp.word.embedding" not in as_text.out  # it has no rows


def test_metrics__minute_by_minute(worker, drain):
    Post.objects.create(title="a")
    drain()

    ran = run("metrics", "--minutes", 5, "--json")

    assert ran.data["intervalSeconds"] == 60
    assert len(ran.data["points"]) == 5
    assert sum(point["completed"] for point in ran.data["points"]) == 1
    assert {one["target"]: one["completed"] for one in ran.data["targets"]}["testapp.post.embedding"] == 1


@pytest.mark.parametrize(
    ("arguments", "points", "minutes"),
    [
        (["--since", "2h", "--json"], 120, 120),
        (["--minutes", "3000", "--json"], 1000, 3000),
        (["--minutes", "99999999", "--json"], 1440, 129600),
    ],
)
def test_metrics__longer_times_have_longer_intervals(arguments, points, minutes):
    ran = run("metrics", *arguments)

    assert len(ran.data["points"]) == points
    assert ran.data["minutes"] == minutes
    assert ran.data["intervalSeconds"] == 60 * minutes / points


def test_metrics__of_one_target_and_provider(drain):
    ran = run("metrics", "--target", "testapp.Post", "--provider", "default", "--json")

    assert ran.data["target"] == "testapp.post.embedding"
    assert run("metrics", "--target", "no.such").code == 2
    assert "has no 'nobody'" in run("metrics", "--provider", "nobody").error
    assert run("metrics", "--since", "2999-01-01").code == 2


def test_recent__latest_attempts_of_all_or_of_one(drain, task_of):
    first, second = Post.objects.create(title="a"), Post.objects.create(title="b")
    drain()

    ran = run("recent", "--limit", 1, "--json")
    of_first = run("recent", "--task", task_of(first).pk, "--json")

    (latest,) = ran.data["attempts"]
    assert latest["target"] == "testapp.post.embedding"
    assert latest["outcome"] == "completed"
    assert latest["objectId"] in {str(first.pk), str(second.pk)}
    assert [one["task"] for one in of_first.data["attempts"]] == [task_of(first).pk]


def test_recent__of_a_task_that_is_gone(drain):
    Post.objects.create(title="a")
    drain()
    EmbeddingTask.objects.all()._raw_delete("default")

    ran = run("recent", "--json")

    assert [one["target"] for one in ran.data["attempts"]] == [""]


def test_failed__groups_the_largest_first():
    for signature in ("input: A", "input: B", "input: B"):
        make_task(Status.FAILED, error_signature=signature)

    as_text, as_json = run("failed"), run("failed", "--limit", 1, "--json")

    assert [(group["signature"], group["tasks"]) for group in as_json.data["groups"]] == [("input: B", 2)]
    assert as_json.data["more"] == 1
    assert "embeddings retry --signature 'input: B'" in as_text.out


def test_failed__details_by_filters(settings):
    wanted = make_task(Status.FAILED, error_kind="crash")
    make_task(Status.FAILED, error_kind="input")
    make_task(Status.COMPLETED)

    by_kind = run("failed", "--details", "--error-kind", "crash", "--json")
    by_model = run("failed", "--model", "testapp.post", "--json")
    none = run("failed", "--provider", "nobody")

    assert [task["id"] for task in by_kind.data["tasks"]] == [wanted.pk]
    assert len(by_model.data["tasks"]) == 2
    assert (none.code, "No task has failed that fits" in none.out) == (0, True)


def test_failed__what_a_provider_said_does_not_steer_the_terminal():
    make_task(Status.FAILED, error_signature="x", error_message="red \x1b[31m and\nmore\r\x07")

    ran = run("failed")

    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert "and more" in ran.out


def test_workers__alive_and_silent(worker):
    heartbeats.born("host.2")
    heartbeats._workers().filter(name="host.2").update(heartbeat_at=timezone.now() - timedelta(minutes=5))

    as_text, as_json = run("workers"), run("workers", "--json")

    assert [one["name"] for one in as_json.data["alive"]] == ["host.1"]
    assert [one["name"] for one in as_json.data["silent"]] == ["host.2"]
    assert "silent" in as_text.out


def test_workers__none():
    ran = run("workers")

    assert ran.code == 1
    assert "manage.py rqworker embeddings" in ran.out


def test_reading__pipes_get_plain_lines(worker):
    ran = run("stats")

    assert "\x1b" not in ran.out
    assert all(line == line.rstrip() for line in ran.out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "invalid choice"),
        ([], "required"),
        (["recent", "--limit", "0"], "at least 1"),
        (["recent", "--limit", "9" * 30], "at least 1"),
        (["recent", "--database", "nowhere"], "has no 'nowhere'"),
        (["batches", "7"], "There is no batch 7"),
        (["operations", "7"], "There is no operation 7"),
        (["operations", "--stop"], "Say which operation"),
        (["metrics", "--since", "25:99"], "must be a time"),
        (["stats", "--hours", "x"], "whole number"),
    ],
)
def test_bad_input__one_sentence_and_2(arguments, sentence):
    ran = run(*arguments)

    assert ran.code == 2
    assert sentence in ran.error


def test_errors__as_json():
    ran = run("batches", 7, "--json")

    assert ran.code == 2
    assert ran.data == {"error": {"code": "not_found", "message": "There is no batch 7 in database 'default'."}}


def test_settings_that_are_wrong__one_sentence_and_2(settings):
    settings.EMBEDDINGS = {"BATCHSIZE": 3}

    ran = run("status", "--json")

    assert ran.code == 2
    assert ran.data["error"]["code"] == "configuration"
    assert "has no key 'BATCHSIZE'" in ran.data["error"]["message"]
