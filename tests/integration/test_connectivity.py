from __future__ import annotations

import pytest

from embeddings import connectivity, pauses, quotas, tally
from embeddings.exceptions import ConfigurationError
from embeddings.models import Pause, ProviderCall, ProviderState
from embeddings.providers import get_provider
from embeddings.providers.dummy import DummyProvider
from tests.integration.conftest import dummy, openai
from tests.openai_server import OpenAIServer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def test_ping__answers_with_model_dimensions_and_latency(settings):
    settings.EMBEDDING_PROVIDERS = dummy(LATENCY_SECONDS=0.05)

    answer = connectivity.ping("default")

    assert (answer.alias, answer.model_id, answer.dimensions, answer.error) == ("default", "dummy", 256, "")
    assert 0.05 <= answer.latency_seconds < 2
    assert answer.quota == {}


def test_ping__counts_in_the_quota_and_the_figures(settings, redis_client):
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "REQUESTS_PER_MINUTE": 60}}
    before = quotas.usage(get_provider("default"))

    answer = connectivity.ping("default")

    assert before == {"requests": (0, 60)}
    assert answer.quota == {"requests": (1, 60)}
    assert ProviderCall.objects.get().worker == "ping"
    assert not tally.take().providers  # handed over to the rows of the minute


def test_ping__of_an_alias_that_there_is_not():
    with pytest.raises(ConfigurationError, match="has no 'nobody'"):
        connectivity.ping("nobody")


def test_ping__a_paused_provider_is_not_asked():
    pauses.pause(Pause.Kind.PROVIDER, "default", reason="the key is being changed", by="anna")

    answer = connectivity.ping("default")

    assert "the key is being changed" in answer.error
    assert DummyProvider.calls == 0
    assert not ProviderCall.objects.exists()


def test_ping__says_why_not_and_never_the_key(settings):
    with OpenAIServer() as server:
        settings.EMBEDDING_PROVIDERS = openai(server)
        server.faults.add("respond", status=503, count=5)
        failed = connectivity.ping("default")
        server.faults.clear()
        settings.EMBEDDING_PROVIDERS["default"]["OPTIONS"]["API_KEY"] = "sk-a-wrong-key-0123456789"
        settings.EMBEDDING_PROVIDERS = dict(settings.EMBEDDING_PROVIDERS)
        refused = connectivity.ping("default")

    assert failed.error
    assert "key" in refused.error
    assert "sk-a-wrong-key-0123456789" not in refused.error
    assert not ProviderState.objects.exists()  # a look closes nothing
