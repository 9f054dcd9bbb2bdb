from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from embeddings import conf
from embeddings.exceptions import ConfigurationError
from embeddings.providers import get_provider

PROVIDER = {"BACKEND": "embeddings.providers.dummy.DummyProvider", "MODEL": "m", "DIMENSIONS": 8}

# One value of each key that is not its default.
OTHERS: dict[str, Any] = {
    "ENABLED": False,
    "QUEUE_ENABLED": False,
    "DIRECT_FALLBACK": True,
    "ALERT_EMAILS": False,
    "WEBHOOK_PRIVATE_ADDRESSES": True,
    "QUEUE": "other",
    "WEBHOOK_QUEUE": "webhooks",
    "METRICS_TOKEN": "a-token-of-a-test",
    "DATABASES": ("other",),
    "HEAD_START_SECONDS": {"high": 2, "normal": 1.5, "low": 1},
    **dict.fromkeys(
        [
            "BATCH_SIZE",
            "CONCURRENCY",
            "MAX_ATTEMPTS",
            "MAX_CRASHES",
            "CIRCUIT_FAILURES",
            "OPERATION_PAGE_SIZE",
            "CLEANUP_RETENTION_DAYS",
            "ATTEMPT_RETENTION_DAYS",
            "METRIC_RETENTION_DAYS",
            "AUDIT_RETENTION_DAYS",
            "ALERT_FAILED",
            "API_CALLS_PER_MINUTE",
            "WEBHOOK_RETENTION_DAYS",
        ],
        8,
    ),
    **dict.fromkeys(
        [
            "BACKOFF_BASE_SECONDS",
            "BACKOFF_CAP_SECONDS",
            "CIRCUIT_OPEN_SECONDS",
            "LEASE_SECONDS",
            "REQUEST_TIMEOUT_SECONDS",
            "SEARCH_TIMEOUT_SECONDS",
            "SWEEP_SECONDS",
            "DRAIN_SECONDS",
            "GRACE_SECONDS",
            "LOCK_TIMEOUT_SECONDS",
            "STATEMENT_TIMEOUT_SECONDS",
            "CLEANUP_INTERVAL_HOURS",
            "ALERT_WAITING_SECONDS",
            "WEBHOOK_TIMEOUT_SECONDS",
            "WEBHOOK_COLLAPSE_SECONDS",
        ],
        7.5,
    ),
}


# EMBEDDINGS.


@pytest.mark.parametrize("given", [None, {}])
def test_current__defaults(given: dict[str, Any] | None, settings: Any) -> None:
    if given is None:
        del settings.EMBEDDINGS
    else:
        settings.EMBEDDINGS = given

    assert conf.current() == conf.EmbeddingSettings()
    assert conf.current().databases == ("default",)


@pytest.mark.parametrize("key", [field.name.upper() for field in dataclasses.fields(conf.EmbeddingSettings)])
def test_current__every_key_can_be_set(key: str, settings: Any) -> None:
    settings.EMBEDDINGS = {key: OTHERS[key]}

    changed = {
        field.name: getattr(conf.current(), field.name)
        for field in dataclasses.fields(conf.EmbeddingSettings)
        if getattr(conf.current(), field.name) != getattr(conf.EmbeddingSettings(), field.name)
    }
    assert changed == {key.lower(): OTHERS[key]}


def test_current__shows_no_token(settings: Any) -> None:
    settings.EMBEDDINGS = {"METRICS_TOKEN": "a-token-of-a-test"}
    shown = repr(conf.current())
    settings.EMBEDDINGS = {"METRICS_TOKEN": "a token"}

    with pytest.raises(ConfigurationError) as caught:
        conf.current()

    assert "a-token" not in shown
    assert "a token" not in str(caught.value)


@pytest.mark.parametrize("key", ["BACKOFF_BASE_SECONDS", "CLEANUP_RETENTION_DAYS"])
def test_current__zero_that_means_something(key: str, settings: Any) -> None:
    settings.EMBEDDINGS = {key: 0}

    assert getattr(conf.current(), key.lower()) == 0


def test_current__databases_may_be_any_sequence(settings: Any) -> None:
    settings.EMBEDDINGS = {"DATABASES": ["other", "default"]}

    assert conf.current().databases == ("other", "default")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "must be a dict"),
        ({"BATCHSIZE": 5}, "no key 'BATCHSIZE'; the keys are .*BATCH_SIZE"),
        ({"batch_size": 5}, "no key 'batch_size'"),
        ({"ENABLED": "false"}, "'ENABLED'.* True or False, not 'false'"),
        ({"QUEUE_ENABLED": 0}, "'QUEUE_ENABLED'.* True or False, not 0"),
        ({"METRICS_TOKEN": None}, "'METRICS_TOKEN'.* at least 16"),
        ({"METRICS_TOKEN": "short"}, "'METRICS_TOKEN'.* at least 16"),
        ({"METRICS_TOKEN": "with a space in it"}, "'METRICS_TOKEN'.* without spaces"),
        ({"QUEUE": ""}, "'QUEUE'.*RQ_QUEUES"),
        ({"QUEUE": 5}, "'QUEUE'.*RQ_QUEUES"),
        ({"DATABASES": "default"}, "'DATABASES'.* aliases"),
        ({"DATABASES": []}, "'DATABASES'.* aliases"),
        ({"DATABASES": ["default", "nowhere"]}, "'DATABASES'.* aliases"),
        ({"BATCH_SIZE": 0}, "'BATCH_SIZE'.* more than 0"),
        ({"BATCH_SIZE": -1}, "'BATCH_SIZE'.* positive number, not -1"),
        ({"BATCH_SIZE": 1.5}, "'BATCH_SIZE'.* whole number, not 1.5"),
        ({"BATCH_SIZE": "5"}, "'BATCH_SIZE'.* positive number, not '5'"),
        ({"MAX_ATTEMPTS": True}, "'MAX_ATTEMPTS'.* positive number, not True"),
        ({"LEASE_SECONDS": None}, "'LEASE_SECONDS'.* positive number, not None"),
        ({"LEASE_SECONDS": 0}, "'LEASE_SECONDS'.* more than 0"),
        ({"HEAD_START_SECONDS": {"high": 1}}, "'HEAD_START_SECONDS'.* 'high', 'normal' and 'low'"),
        ({"HEAD_START_SECONDS": 5}, "'HEAD_START_SECONDS'.* 'high', 'normal' and 'low'"),
    ],
)
def test_current__wrong_value_is_named_with_its_key(given: Any, words: str, settings: Any) -> None:
    settings.EMBEDDINGS = given

    with pytest.raises(ConfigurationError, match=words):
        conf.current()


@pytest.mark.parametrize(
    "given",
    [
        {"LEASE_SECONDS": float("nan")},
        {"LEASE_SECONDS": float("inf")},
        {"DATABASES": 5},
        {"HEAD_START_SECONDS": {"high": "1 h", "normal": 1, "low": 0}},
        {"HEAD_START_SECONDS": {"high": None, "normal": 1, "low": 0}},
    ],
)
def test_current__value_that_no_statement_can_use_is_named(given: Any, settings: Any) -> None:
    settings.EMBEDDINGS = given

    with pytest.raises(ConfigurationError):
        conf.current()


def test_current__is_read_again_when_settings_change(settings: Any) -> None:
    assert conf.current().batch_size != 3

    settings.EMBEDDINGS = {"BATCH_SIZE": 3}

    assert conf.current().batch_size == 3
    assert conf.current() is conf.current()


# What is in force while processes run.


def test_override__lays_values_over_the_settings_until_the_next(settings: Any) -> None:
    settings.EMBEDDINGS = {"BATCH_SIZE": 3, "HEAD_START_SECONDS": {"high": 3, "normal": 2, "low": 1}}

    is_new = conf.override({"batch_size": 9, "concurrency": None, "head_start_high_seconds": 8}, {})
    first = conf.current()
    is_new_again = conf.override({"head_start_high_seconds": 8, "batch_size": 9}, {})
    second = conf.current()
    conf.override({}, {})

    assert (is_new, is_new_again, first is second) == (True, False, True)
    assert (first.batch_size, first.concurrency) == (9, conf.EmbeddingSettings().concurrency)
    assert first.head_start_seconds == {"high": 8, "normal": 2, "low": 1}
    assert conf.current() is conf.configured()
    assert conf.current().batch_size == 3


def test_override__lays_quotas_over_those_of_one_provider_and_whoever_has_it_in_hand_sees_them(settings: Any) -> None:
    settings.EMBEDDING_PROVIDERS = {"one": {**PROVIDER, "TOKENS_PER_MINUTE": 5}, "two": PROVIDER}
    one = get_provider("one")

    conf.override({}, {"one": {"requests_per_minute": 7, "tokens_per_minute": None}, "gone": {"tokens_per_minute": 1}})

    assert get_provider("one") is one
    assert (one.requests_per_minute, one.tokens_per_minute) == (7, 5)
    assert get_provider("two").requests_per_minute is None
    assert conf.configured_provider("one").requests_per_minute is None


@pytest.mark.parametrize("values", [{"batch_size": 0}, {"concurrency": 2.5}, {"backoff_base_seconds": float("nan")}])
def test_override__refuses_what_could_not_stand_in_the_settings_and_changes_nothing(values: dict[str, Any]) -> None:
    conf.override({"batch_size": 9}, {})

    with pytest.raises(ConfigurationError):
        conf.override({"max_attempts": 4, **values}, {})

    assert (conf.current().batch_size, conf.current().max_attempts) == (9, conf.configured().max_attempts)


def test_override__outlasts_a_change_of_the_settings_below_it(settings: Any) -> None:
    conf.override({"batch_size": 9}, {})

    settings.EMBEDDINGS = {"BATCH_SIZE": 3, "CONCURRENCY": 2}

    assert (conf.current().batch_size, conf.current().concurrency) == (9, 2)


# EMBEDDING_PROVIDERS.


def test_provider_settings__of_an_entry(settings: Any) -> None:
    settings.EMBEDDINGS = {"REQUEST_TIMEOUT_SECONDS": 9}
    settings.EMBEDDING_PROVIDERS = {"default": PROVIDER, "second": {**PROVIDER, "OPTIONS": {"LATENCY_SECONDS": 1}}}

    second = conf.provider_settings("second")

    assert conf.provider_aliases() == ["default", "second"]
    assert (second.alias, second.backend, second.model_id, second.dimensions) == ("second", PROVIDER["BACKEND"], "m", 8)
    assert (second.options, second.timeout_seconds) == ({"LATENCY_SECONDS": 1}, 9)
    assert conf.provider_settings("default").options == {}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "needs BACKEND"),
        ({**PROVIDER, "BACKEND": None}, "needs BACKEND, a string"),
        ({**PROVIDER, "MODEL": ""}, "needs MODEL, a string"),
        ({**PROVIDER, "DIMENSION": 8}, "no key 'DIMENSION'"),
        ({**PROVIDER, "DIMENSIONS": 0}, "DIMENSIONS, a whole number from 1 to 16,000, not 0"),
        ({**PROVIDER, "DIMENSIONS": 16_001}, "not 16001"),
        ({**PROVIDER, "DIMENSIONS": "8"}, "not '8'"),
        ({**PROVIDER, "DIMENSIONS": True}, "not True"),
        ({**PROVIDER, "OPTIONS": []}, "OPTIONS must be a dict"),
        *(
            ({**PROVIDER, key: value}, f"{key} must be a whole number of at least 1, or None, not {value!r}")
            for key in ("REQUESTS_PER_MINUTE", "TOKENS_PER_MINUTE")
            for value in (0, -1, 1.5, True, "600")
        ),
    ],
)
def test_provider_settings__wrong_entry_is_named(entry: dict[str, Any], words: str, settings: Any) -> None:
    settings.EMBEDDING_PROVIDERS = {"mine": entry}

    with pytest.raises(ConfigurationError, match=f"EMBEDDING_PROVIDERS\\['mine'\\].*{words}"):
        conf.provider_settings("mine")


@pytest.mark.parametrize("key", ["REQUESTS_PER_MINUTE", "TOKENS_PER_MINUTE"])
@pytest.mark.parametrize(("given", "expected"), [({}, None), (None, None), (1, 1), (5_000_000, 5_000_000)])
def test_provider_settings__quotas_reach_the_provider(
    key: str, given: Any, expected: int | None, settings: Any
) -> None:
    settings.EMBEDDING_PROVIDERS = {"default": {**PROVIDER, **({} if given == {} else {key: given})}}

    quotas = {
        "REQUESTS_PER_MINUTE": get_provider("default").requests_per_minute,
        "TOKENS_PER_MINUTE": get_provider("default").tokens_per_minute,
    }

    assert quotas.pop(key) == expected
    assert list(quotas.values()) == [None]


def test_provider_settings__unknown_alias_names_the_known(settings: Any) -> None:
    settings.EMBEDDING_PROVIDERS = {"mine": PROVIDER}

    with pytest.raises(ConfigurationError, match=r"no 'default'; .*'mine'"):
        conf.provider_settings("default")


def test_provider_aliases__refuses_what_is_not_a_dict(settings: Any) -> None:
    settings.EMBEDDING_PROVIDERS = ["default"]

    with pytest.raises(ConfigurationError, match="must be a dict"):
        conf.provider_aliases()


def test_provider_settings__are_read_again_when_settings_change(settings: Any) -> None:
    settings.EMBEDDING_PROVIDERS = {"default": PROVIDER}
    assert get_provider("default").dimensions == 8

    settings.EMBEDDING_PROVIDERS = {"default": {**PROVIDER, "DIMENSIONS": 9}}
    assert get_provider("default").dimensions == 9

    settings.EMBEDDINGS = {"REQUEST_TIMEOUT_SECONDS": 4}
    assert get_provider("default").timeout_seconds == 4
