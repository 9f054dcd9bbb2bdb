"""System 001: recommendations, through the API and the admin, with a worker process and an OpenAI server beside it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.test import Client

from embeddings.models import EmbeddingOperation, EmbeddingTask, Status
from project.content.models import Article, Recommendation
from tests.integration.conftest import MODEL, wait_until
from tests.openai_server import OpenAIServer, expected_vector

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/recommendations/"
# The older system's address, which has no slash at its end.
STATUS = "/api/recommendations/embedding-queue/status"


@pytest.fixture
def adviser(person, client_of) -> Client:
    """Somebody who writes recommendations, and may make all of their vectors anew."""
    user = person("adviser", "recommendation", is_staff=True)
    names = ("add_embeddingoperation", "view_embeddingoperation")
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    return client_of(user)


def recommend(count: int, prefix: str = "Advice") -> list[Recommendation]:
    return Recommendation.objects.bulk_create(
        Recommendation(title=f"{prefix} {number}", text="Measure first.") for number in range(count)
    )


def are_ready() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def assert_vector(recommendation: Recommendation) -> None:
    text = f"{recommendation.title}\n\n{recommendation.text}"
    assert np.allclose(recommendation.embedding, expected_vector(text, MODEL, settings.EMBEDDING_DIMENSIONS), atol=1e-6)


def test_system_001_recommendations__writing_waits_for_no_provider(server: OpenAIServer, adviser):
    server.latency_seconds = 2
    adviser.get(URL)  # What a web process does once, at its first request, is not meant.
    started = time.monotonic()

    made = adviser.post(URL, {"title": "Name it", "text": "Names are half of it.", "topic": "style"})
    seconds = time.monotonic() - started

    assert made.status_code == 201, made.content
    data = made.json()["data"]
    assert (data["embedding"], data["topic"]) == ("pending", "style")
    assert seconds < server.latency_seconds
    wait_until(lambda: adviser.get(f"{URL}{data['id']}/").json()["data"]["embedding"] == "completed")
    assert_vector(Recommendation.objects.get(pk=data["id"]))


def test_system_001_recommendations__are_changed_found_and_deleted(server, adviser):
    first, second = (
        adviser.post(URL, {"title": title, "text": text}).json()["data"]["id"]
        for title, text in [("Retry", "Wait longer each time."), ("Log", "Say what happened.")]
    )
    adviser.patch(f"{URL}{first}/", {"text": "Back off exponentially."}, content_type="application/json")
    wait_until(are_ready)

    found = adviser.get(URL, {"q": "exponentially"}).json()["data"]
    listed = adviser.get(URL).json()["data"]
    deleted = adviser.delete(f"{URL}{second}/")

    assert found["results"][0]["id"] == first
    assert found["results"][0]["found_by"] in {"keyword", "both"}
    assert found["degraded"] is False
    assert [each["id"] for each in listed["results"]] == [second, first]
    assert deleted.status_code == 204
    assert list(EmbeddingTask.objects.values_list("object_id", flat=True)) == [str(first)]


def test_system_001_recommendations__queue_status_at_its_old_address_in_its_old_shape(server: OpenAIServer, adviser):
    server.latency_seconds = 1
    Article.objects.bulk_create(Article(slug=f"a{n}", title=f"Article {n}") for n in range(150))
    recommend(150)

    at_work = wait_until(lambda: (data := adviser.get(STATUS).json())["data"]["isProcessing"] and data)
    wait_until(are_ready)
    done = adviser.get(STATUS)

    assert at_work["success"] is True
    assert set(at_work["data"]) == {"queueLength", "processing", "isProcessing"}
    # The articles are not counted.
    assert at_work["data"]["queueLength"] + at_work["data"]["processing"] <= 150
    assert at_work["data"]["processing"] >= 1
    assert done.json() == {"success": True, "data": {"queueLength": 0, "processing": 0, "isProcessing": False}}


def test_system_001_recommendations__queue_status_needs_a_log_in(client):
    response = client.get(STATUS)

    assert response.status_code in {401, 403}
    assert response.json()["success"] is False


def test_system_001_recommendations__regenerating_2000_blocks_nobody_and_shows_how_far_it_is(server, adviser):
    made = recommend(2000)
    wait_until(are_ready, seconds=60)
    server.stats.reset()
    server.latency_seconds = 0.2
    started = time.monotonic()

    answer = adviser.post(f"{URL}regenerate/")
    again = adviser.post(f"{URL}regenerate/")
    seconds = time.monotonic() - started

    assert answer.status_code == 202, answer.content
    assert again.json() == answer.json()  # It is at work already.
    # 20 requests of a fifth of a second each are still to be made.
    assert seconds < 2
    url = answer.json()["data"]["url"]
    shares = []

    def is_finished() -> bool:
        progress = adviser.get(url).json()["data"]["progress"]
        shares.append(progress["share"])
        assert not Recommendation.objects.filter(embedding=None).exists()  # The old vectors stay until then.
        return progress["finished_at"] is not None and progress["total"] == 2000

    wait_until(is_finished, seconds=60)
    assert any(0 < share < 1 for share in shares)
    assert server.stats.inputs == 2000
    operation = EmbeddingOperation.objects.get()
    assert (operation.rows_read, operation.changed, operation.by) == (2000, 2000, "adviser")
    for recommendation in Recommendation.objects.filter(pk__in=[made[0].pk, made[999].pk, made[-1].pk]):
        assert_vector(recommendation)


def test_system_001_recommendations__regenerating_goes_behind_what_people_save(server, adviser):
    recommend(2000)
    wait_until(are_ready, seconds=60)
    server.latency_seconds = 0.2
    adviser.post(f"{URL}regenerate/")
    wait_until(lambda: EmbeddingTask.objects.filter(status=Status.PENDING).count() > 1000)

    mine = adviser.post(URL, {"title": "Now", "text": "And not later."}).json()["data"]["id"]
    wait_until(lambda: adviser.get(f"{URL}{mine}/").json()["data"]["embedding"] == "completed")

    assert EmbeddingTask.objects.filter(status=Status.PENDING).count() > 500
    wait_until(are_ready, seconds=60)


def test_system_001_recommendations__regenerating_takes_a_permission(person, client_of):
    writer = client_of(person("writer", "recommendation", is_staff=True))

    by_api = writer.post(f"{URL}regenerate/")
    by_admin = writer.post("/admin/content/recommendation/regenerate/")
    offered = writer.get("/admin/content/recommendation/").content.decode()

    assert by_api.status_code == 403
    assert "embeddings.add_embeddingoperation" in by_api.json()["error"]["message"]
    assert by_admin.status_code == 403
    assert "Regenerate all" not in offered
    assert not EmbeddingOperation.objects.exists()


def test_system_001_recommendations__button_in_the_admin(server, adviser):
    recommend(30)
    wait_until(are_ready)
    listed = adviser.get("/admin/content/recommendation/").content.decode()

    asked = adviser.get("/admin/content/recommendation/regenerate/").content.decode()
    begun = adviser.post("/admin/content/recommendation/regenerate/", follow=True).content.decode()

    assert "Regenerate all" in listed
    assert "30 texts of about" in asked
    operation = EmbeddingOperation.objects.get()
    page = f"/admin/embeddings/embeddingoperation/{operation.pk}/change/"
    assert page in begun
    wait_until(lambda: EmbeddingOperation.objects.get().state == EmbeddingOperation.State.DONE)
    wait_until(are_ready)
    shown = adviser.get(page).content.decode()
    assert "100%" in shown


def test_system_001_recommendations__column_in_the_admin_says_how_far_each_is(redis_client, drain, adviser):
    recommend(2)

    waiting = adviser.get("/admin/content/recommendation/").content.decode()
    drain()
    ready = adviser.get("/admin/content/recommendation/").content.decode()

    assert waiting.count(">embedding…<") == 2
    assert ready.count(">ready<") == 2
