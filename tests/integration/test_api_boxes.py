"""Objects made in boxes over the API, by a project's own view."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.urls import include, path
from rest_framework import serializers
from rest_framework.test import APIClient

from embeddings import immediate
from embeddings.api.boxes import BoxedCreate
from embeddings.models import EmbeddingTask
from tests.integration import sessions
from tests.integration.api_clients import problem
from tests.testapp.models import Parcel

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.urls(__name__),
]
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

URL = "/parcels/"


class ParcelSerializer(serializers.ModelSerializer):
    class Meta:
        model = Parcel
        fields = ("id", "slug", "text", "weight")


class Parcels(BoxedCreate):
    serializer_class = ParcelSerializer
    required_permission = "testapp.add_parcel"
    max_objects = 3


urlpatterns = [path("parcels/", Parcels.as_view()), path("", include("project.urls"))]


@pytest.fixture
def client(api) -> APIClient:
    return api("add_parcel")


def post(client: APIClient, body: Any, query: str = "", **headers: str) -> Any:
    return client.post(f"{URL}{query}", body, format="json", headers=headers)


def parcel(slug: str, **values: Any) -> dict[str, Any]:
    return {"slug": slug, "text": f"about {slug}", **values}


def test_post__makes_a_box(client, drain):
    response = post(client, parcel("a"))

    made = response.json()["data"]
    assert response.status_code == 202
    assert not Parcel.objects.exists()
    assert client.get(URL, {"task": made["taskId"]}).json()["data"] == {
        **made,
        "status": "pending",
        "isStored": False,
        "error": None,
    }

    drain()

    assert str(Parcel.objects.get().pk) == made["entityId"]
    assert client.get(URL, {"entity": made["entityId"]}).json()["data"]["isStored"] is True


def test_post__waits_if_it_is_asked_to(client):
    response = post(client, parcel("a"), "?wait=true")

    stored = Parcel.objects.get()
    assert (response.status_code, response.json()["data"]["id"]) == (201, str(stored.pk))
    assert stored.embedding is not None


@pytest.mark.parametrize(
    ("text", "status", "code"), [("[[transient]]", 503, "unavailable"), ("[[reject]]", 400, "invalid")]
)
def test_post__that_waits_in_vain_stores_nothing(client, text, status, code):
    assert problem(post(client, parcel("a", text=text), "?wait=true"), status)[0] == code
    assert not Parcel.objects.exists()
    assert not EmbeddingTask.objects.exists()


def test_post__that_waits_while_another_takes_its_unique_value(client, monkeypatch):
    make = immediate.make

    def overtaken(*args: Any) -> Any:
        Parcel.objects.create(slug="a")
        return make(*args)

    monkeypatch.setattr(immediate, "make", overtaken)
    first = post(client, parcel("a"), "?wait=true")
    monkeypatch.undo()

    again = post(client, parcel("a"), "?wait=true")

    assert problem(first, 409)[1].endswith("send it again to hear what.")
    assert problem(again, 400)[1].startswith("slug: ")
    assert Parcel.objects.count() == 1


def test_post__makes_several(client, drain):
    response = post(client, [parcel("a"), parcel("b")])

    made = response.json()["data"]
    assert response.status_code == 202
    assert EmbeddingTask.objects.count() == 2
    drain()
    assert {str(key) for key in Parcel.objects.values_list("pk", flat=True)} == {each["entityId"] for each in made}


def test_post__of_several_names_those_that_are_wrong_and_makes_none(client):
    Parcel.objects.create(slug="taken", text="t")
    before = EmbeddingTask.objects.count()

    code, message = problem(post(client, [parcel("a"), parcel("taken"), parcel("c", weight="x")]), 400)

    assert code == "invalid"
    assert message == "2.slug: parcel with this slug already exists. 3.weight: A valid number is required."
    assert EmbeddingTask.objects.count() == before


def test_post__of_several_names_those_that_the_model_refuses(client, monkeypatch):
    monkeypatch.setattr(Parcel, "clean", lambda self: self._refuse() if self.slug == "b" else None, raising=False)
    monkeypatch.setattr(Parcel, "_refuse", _refuse, raising=False)

    message = problem(post(client, [parcel("a"), parcel("b")]), 400)[1]

    assert message == "2: Not this one."
    assert not EmbeddingTask.objects.exists()


def _refuse(parcel: Parcel) -> None:
    from django.core.exceptions import ValidationError

    raise ValidationError("Not this one.")


@pytest.mark.parametrize(
    ("body", "query", "said"),
    [
        ([], "", "Send 1 to 3 objects in one call, not 0."),
        ([parcel(str(n)) for n in range(4)], "", "Send 1 to 3 objects in one call, not 4."),
        ([parcel("a")], "?wait=true", "Only one object can be waited for"),
        ([7], "", "1: Invalid data."),
        ("x", "", "Invalid data."),
        (parcel("a"), "?wait=perhaps", "wait: Must be a valid boolean."),
        ({"text": "a"}, "", "slug: This field is required."),
    ],
)
def test_post__says_what_is_wrong(client, body, query, said):
    code, message = problem(post(client, body, query), 400)

    assert (code, message[: len(said)]) == ("invalid", said)
    assert not EmbeddingTask.objects.exists()


def test_post__is_done_once_with_a_key(client):
    first, second = (post(client, [parcel("a")], **{"idempotency-key": "k"}) for _ in range(2))

    assert second.json() == first.json()
    assert EmbeddingTask.objects.count() == 1


def test_post__stores_at_once_where_nothing_is_embedded(client, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    response = post(client, parcel("a"))

    assert (response.status_code, response.json()["data"]["slug"]) == (201, "a")


def test_post__is_throttled(client, settings, redis_client):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "API_CALLS_PER_MINUTE": 1}

    assert [post(client, parcel(slug)).status_code for slug in "ab"] == [202, 429]


def test_get__is_not_throttled(client, settings, redis_client):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "API_CALLS_PER_MINUTE": 1}
    task = post(client, parcel("a")).json()["data"]["taskId"]

    assert [client.get(URL, {"task": task}).status_code for _ in range(3)] == [200, 200, 200]


def test_calls__need_the_permission(api):
    assert problem(post(api("view_parcel"), parcel("a")), 403)[1] == "This needs the permission testapp.add_parcel."


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"task": "1", "entity": str(uuid.UUID(int=1))}, 400),
        ({"entity": "x"}, 400),
        ({"task": 2**70}, 400),
        ({"task": 2**40}, 404),
        ({"entity": str(uuid.UUID(int=1))}, 404),
    ],
)
def test_get__of_none(client, query, status):
    problem(client.get(URL, query), status)
