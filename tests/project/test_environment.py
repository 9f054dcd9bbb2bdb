from __future__ import annotations

import pytest

from project import environment

QUOTAS = ["EMBEDDING_REQUESTS_PER_MINUTE", "EMBEDDING_TOKENS_PER_MINUTE"]


@pytest.fixture(autouse=True)
def _no_quotas_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUOTAS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("value", "expected"), [(None, None), ("", None), ("0", None), ("600", 600)])
@pytest.mark.parametrize("name", QUOTAS)
def test_provider_settings__quotas_are_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, expected: int | None
) -> None:
    if value is not None:
        monkeypatch.setenv(name, value)

    provider = environment.provider_settings(environment.read())

    quotas = {key: provider[key] for key in ("REQUESTS_PER_MINUTE", "TOKENS_PER_MINUTE")}
    assert quotas.pop(name.removeprefix("EMBEDDING_")) == expected
    assert list(quotas.values()) == [None]


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "9" * 20])
@pytest.mark.parametrize("name", QUOTAS)
def test_read__a_quota_that_is_no_number_stops_the_start_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=rf"^The environment variable {name} must be a whole number .*\.$"):
        environment.read()
