"""Each check id has its tests: the mistake that it finds, and a sentence with what to do."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from embeddings import broker, checks, registry
from embeddings.checks import databases
from embeddings.models import WebhookEndpoint
from embeddings.registry import Target
from embeddings.webhooks import packages
from tests.testapp.models import Author, Memo, Post, Word


def ids(messages: list) -> list[str]:
    return [message.id for message in messages]


def of(target: Target) -> list:
    registry.add(target)
    try:
        return checks.check_targets(None)
    finally:
        registry.remove(target.model, target.field)


def test_checks__reference_settings_are_clean():
    assert checks.check_settings(None) == []
    assert checks.check_targets(None) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "EMBEDDINGS must be a dict."),
        ({"CONCURENCY": 5}, "EMBEDDINGS has no key 'CONCURENCY'"),
        ({"CONCURRENCY": 0}, "EMBEDDINGS['CONCURRENCY'] must be more than 0."),
        ({"CONCURRENCY": "5"}, "EMBEDDINGS['CONCURRENCY'] must be a positive number, not '5'."),
        ({"MAX_ATTEMPTS": 2.5}, "EMBEDDINGS['MAX_ATTEMPTS'] must be a whole number, not 2.5."),
        ({"ENABLED": "yes"}, "EMBEDDINGS['ENABLED'] must be True or False, not 'yes'."),
        ({"DATABASES": ["nope"]}, "EMBEDDINGS['DATABASES'] must list aliases of DATABASES, not ['nope']."),
        ({"HEAD_START_SECONDS": {"high": 1}}, "EMBEDDINGS['HEAD_START_SECONDS'] must give seconds"),
    ],
)
def test_embeddings_E001(settings, value, sentence):
    settings.EMBEDDINGS = value

    (error,) = checks.check_settings(None)

    assert error.id == "embeddings.E001"
    assert sentence in error.msg


def test_webhook_queue_E041(settings):
    settings.EMBEDDINGS = {"WEBHOOK_QUEUE": "webhooks"}

    (error,) = checks.check_settings(None)

    assert error.id == "embeddings.E041"
    assert "no queue 'webhooks'" in error.msg
    assert "manage.py rqworker webhooks" in error.hint


@pytest.mark.django_db
@pytest.mark.parametrize(("is_enabled", "found"), [(True, ["embeddings.E042"]), (False, [])])
def test_webhook_packages_E042(monkeypatch, is_enabled, found):
    WebhookEndpoint.objects.create(name="a", url="https://8.8.8.8/", events=["task.failed"], is_enabled=is_enabled)
    monkeypatch.setattr(packages, "missing", lambda: ("standardwebhooks",))

    errors = checks.check_databases(None, databases=["default"])

    assert ids(errors) == found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"BACKEND": "nowhere.Provider"}, "BACKEND 'nowhere.Provider' cannot be imported"),
        ({"BACKEND": "django.db.models.Model"}, "is not an embeddings Provider"),
        ({"MODEL": ""}, "needs MODEL, a string."),
        ({"DIMENSIONS": "256"}, "needs DIMENSIONS, a whole number"),
        ({"DIMENSION": 256}, "has no key 'DIMENSION'"),
        ({"OPTIONS": {"NOPE": 1}}, "has unknown OPTIONS NOPE"),
        ({"TOKENS_PER_MINUTE": 0}, "TOKENS_PER_MINUTE must be a whole number of at least 1, or None, not 0."),
    ],
)
def test_embeddings_E002(settings, change, sentence):
    settings.EMBEDDING_PROVIDERS = {"default": {**settings.EMBEDDING_PROVIDERS["default"], **change}}

    (error,) = checks.check_settings(None)

    assert error.id == "embeddings.E002"
    assert sentence in error.msg


def test_embeddings_E003(settings):
    settings.RQ_QUEUES = {"default": {}}

    (error,) = checks.check_settings(None)

    assert error.id == "embeddings.E003"
    assert error.msg == "RQ_QUEUES has no queue 'embeddings'."


@pytest.mark.parametrize("rq", [{}, {"WORKER_CLASS": "rq.Worker"}, {"WORKER_CLASS": "nowhere.Worker"}])
def test_embeddings_W004(settings, rq):
    settings.RQ = rq

    (warning,) = checks.check_settings(None)

    assert warning.id == "embeddings.W004"


def test_embeddings_E005():
    (error,) = of(Target(Author, "born", "name", provider="missing"))

    assert error.id == "embeddings.E005"
    assert "provider 'missing'" in error.msg


def test_embeddings_E006(settings):
    settings.EMBEDDING_PROVIDERS = {"default": {**settings.EMBEDDING_PROVIDERS["default"], "DIMENSIONS": 8}}

    errors = checks.check_targets(None)

    assert set(ids(errors)) == {"embeddings.E006"}
    assert "has 256 dimensions, but its provider 'default' makes 8." in errors[0].msg


@pytest.mark.parametrize(("half", "dimensions", "found"), [(False, 2000, 0), (False, 2001, 1), (True, 4000, 0)])
def test_embeddings_W007(settings, monkeypatch, half, dimensions, found):
    settings.EMBEDDING_PROVIDERS = {"default": {**settings.EMBEDDING_PROVIDERS["default"], "DIMENSIONS": dimensions}}
    field = Memo._meta.get_field("embedding")
    monkeypatch.setattr(field, "half", half)
    monkeypatch.setattr(field, "dimensions", dimensions)

    assert ids(checks.check_targets(None)).count("embeddings.W007") == found


@pytest.mark.parametrize("source", ["nane", ["name", "editor.name"], "name.nothing.at.all", [], ""])
def test_embeddings_E008(source):
    messages = of(Target(Author, "born", source))

    if source == "name.nothing.at.all":
        assert messages == []  # a value's own attributes cannot be known before there is one
    else:
        assert ids(messages) == ["embeddings.E008"]


def test_embeddings_E008__predicate():
    assert ids(of(Target(Author, "born", "name", when="is_wanted"))) == ["embeddings.E008"]


@pytest.mark.parametrize("option", [{"priority": "urgent"}, {"delay_seconds": -1}])
def test_embeddings_E009(option):
    assert ids(of(Target(Author, "born", "name", **option))) == ["embeddings.E009"]


def test_embeddings_E010(settings):
    settings.EMBEDDINGS = {"DATABASES": ["other"]}

    errors = checks.check_targets(None)

    assert set(ids(errors)) == {"embeddings.E010"}
    assert "is stored in database 'default', where no worker looks" in errors[0].msg


@pytest.mark.parametrize(("max_length", "found"), [(255, 0), (256, 1)])
def test_embeddings_E015(monkeypatch, max_length, found):
    monkeypatch.setattr(Word._meta.pk, "max_length", max_length)

    assert ids(checks.check_targets(None)).count("embeddings.E015") == found


@pytest.mark.django_db
def test_embeddings_E011_and_W012(monkeypatch):
    assert checks.check_databases(None, databases=["default"]) == []

    monkeypatch.setattr(databases, "MIN_PGVECTOR", (99,))
    (warning,) = checks.check_databases(None, databases=["default"])
    assert warning.id == "embeddings.W012"
    assert "a vacuum can corrupt" in warning.msg

    # No server without pgvector is at hand: ask for an extension that it does not have.
    monkeypatch.setattr(databases, "EXTENSION", "nothing_of_that_name")
    (error,) = checks.check_databases(None, databases=["default"])
    assert error.id == "embeddings.E011"


@pytest.mark.django_db
def test_embeddings_E013():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_post ALTER COLUMN embedding TYPE vector(8)")

    (error,) = checks.check_databases(None, databases=["default"])

    assert error.id == "embeddings.E013"
    assert error.obj is Post
    assert "has 8 dimensions, the field 256." in error.msg


@pytest.mark.django_db
def test_embeddings_W014(redis_client):
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        (warning,) = checks.check_databases(None, databases=["default"])
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")

    assert warning.id == "embeddings.W014"
    assert "maxmemory-policy is allkeys-lru" in warning.msg


@pytest.mark.django_db
def test_check_databases__redis_away(monkeypatch):
    monkeypatch.setattr(broker, "redis", lambda: (_ for _ in ()).throw(ConnectionError()))

    assert checks.check_databases(None, databases=["default"]) == []


@pytest.mark.django_db
def test_check_command__with_the_database():
    call_command("check", databases=["default"], fail_level="WARNING")


@pytest.mark.parametrize(("lease", "statement", "found"), [(19, 10, ["embeddings.W016"]), (20, 10, [])])
def test_embeddings_W016(settings, lease, statement, found):
    settings.EMBEDDINGS = {"LEASE_SECONDS": lease, "STATEMENT_TIMEOUT_SECONDS": statement}

    assert ids(checks.check_settings(None)) == found


def test_embeddings_E018(monkeypatch):
    monkeypatch.setattr(Author._meta.get_field("name"), "get_internal_type", lambda: "JSONField")

    (error,) = of(Target(Author, "born", "name"))

    assert error.id == "embeddings.E018"
    assert error.msg.startswith("testapp.author.born has the source 'name', a ")
