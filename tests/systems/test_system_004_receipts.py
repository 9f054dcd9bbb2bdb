"""System 004: receipts with several vectors, uploaded many at once and watched until all are made."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib import resources
from io import BytesIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from django.test import Client

from embeddings.models import EmbeddingBatch, EmbeddingTask, Status
from embeddings.providers.dummy import vector
from project.content.models import Receipt, ReceiptItem
from project.content.sampling.receipts import sample_receipts
from tests.integration.conftest import broken_ledger, counts, openai, wait_until  # noqa: F401
from tests.openai_server import OpenAIServer
from tests.systems.counting import queries

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

API = "/api/receipts/"
LIST = "/admin/content/receipt/"
DIMENSIONS = 256


@pytest.fixture
def client(person, client_of, redis_client) -> Client:
    """Of somebody who may do everything with receipts, and nothing else."""
    return client_of(person("buyer", "receipt"))


def receipt(**values: Any) -> dict[str, Any]:
    items = [{"description": "Butter croissant", "quantity": 2, "price": "1.80"}, {"description": "Tea", "price": "2"}]
    printed = "Corner Bakery\n2 x Butter croissant\n1 x Tea"
    return {
        "merchant": "Corner Bakery",
        "purchased_on": "2026-03-14",
        "total": "5.60",
        "text": printed,
        "items": items,
        **values,
    }


def post(client: Client, values: Any, path: str = API) -> Any:
    return client.post(path, values, content_type="application/json")


def upload(client: Client, receipts: Any) -> dict[str, Any]:
    """What is answered to an upload that must be accepted."""
    response = post(client, receipts, f"{API}upload/")
    assert response.status_code == 202, response.content
    return response.json()["data"]


def upload_file(client: Client, name: str, content: bytes) -> Any:
    file = BytesIO(content)
    file.name = name
    return client.post(f"{API}upload/", {"file": file})


def progress(client: Client, uploaded: dict[str, Any]) -> dict[str, Any]:
    response = client.get(uploaded["progress"])
    assert response.status_code == 200, response.content
    return response.json()["data"]


def read(client: Client, pk: int) -> dict[str, Any]:
    response = client.get(f"{API}{pk}/")
    assert response.status_code == 200, response.content
    return response.json()["data"]


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    return response.json()["error"]["message"]


def texts_in(receipts: list[dict[str, Any]]) -> int:
    """How many vectors receipts have: two each, and one an item."""
    return sum(2 + len(each["items"]) for each in receipts)


# Uploads.


def test_system_004_receipts__upload_of_500_keeps_to_the_quota_and_is_watched_to_its_end(
    client, admin_client, workers, settings
):
    receipts = list(sample_receipts(500, seed=500))
    with OpenAIServer(requests_per_minute=300, burst_seconds=0.4) as server:
        providers = {"default": {**openai(server)["default"], "DIMENSIONS": DIMENSIONS}}
        for _ in range(2):
            workers.started(embeddings={"BATCH_SIZE": 100}, providers=providers)

        uploaded = upload(client, receipts)
        seen = [progress(client, uploaded)]

        def is_over() -> bool:
            seen.append(progress(client, uploaded))
            return seen[-1]["finishedAt"] is not None

        wait_until(is_over, seconds=60)

    assert (uploaded["created"], uploaded["rejected"]) == (500, [])
    assert EmbeddingBatch.objects.get().pk == uploaded["batchId"]
    assert Receipt.objects.count() == 500
    total = texts_in(receipts)
    assert seen[0]["total"] == seen[0]["pending"] + seen[0]["done"] == total
    pending = [each["pending"] for each in seen]
    assert pending == sorted(pending, reverse=True)
    assert len(set(pending)) > 3
    assert any(each["etaSeconds"] for each in seen[1:-1])
    last = {name: seen[-1][name] for name in ("total", "pending", "done", "failed", "cancelled", "share", "etaSeconds")}
    assert last == {**dict.fromkeys(last, 0), "total": total, "done": total, "share": 1.0}
    assert counts() == {Status.COMPLETED: total}
    assert not EmbeddingTask.objects.filter(attempts__gt=1).exists()  # to be told to wait is none
    assert set(server.stats.statuses) <= {200, 429}
    assert server.quotas.violations == []  # nobody came back too early
    assert not Receipt.objects.filter(merchant_embedding=None).exists()
    assert not Receipt.objects.filter(text_embedding=None).exists()
    assert not ReceiptItem.objects.filter(embedding=None).exists()
    batches = admin_client.get("/admin/embeddings/embeddingbatch/").content.decode()
    assert "Upload of receipts" in batches
    assert "100%" in batches


def test_system_004_receipts__refused_text_leaves_the_rest(client, admin_client, workers):
    """Of each kind one: a merchant, a printed text and an item."""
    bad_items = [{"description": "[[reject]]", "price": "1"}, {"description": "Tea", "price": "2"}]
    receipts = [receipt(merchant=f"Shop {number}") for number in range(20)]
    receipts[3] |= {"merchant": "[[reject]]"}
    receipts[7] |= {"text": "[[reject]]"}
    receipts[11] |= {"items": bad_items}

    uploaded = upload(client, receipts)
    workers.burst()
    ended = progress(client, uploaded)

    assert (ended["failed"], ended["done"], ended["pending"]) == (3, texts_in(receipts) - 3, 0)
    assert ended["finishedAt"] is not None
    third, seventh, eleventh = (Receipt.objects.order_by("pk")[place] for place in (3, 7, 11))
    assert (third.merchant_embedding is None, third.text_embedding is None) == (True, False)
    assert (seventh.merchant_embedding is None, seventh.text_embedding is None) == (False, True)
    assert [item["embedding"] for item in read(client, eleventh.pk)["items"]] == ["failed", "completed"]
    assert Receipt.objects.filter(merchant_embedding=None).count() == 1
    listed = admin_client.get(LIST).content.decode()
    assert "1 of 2 ready" in listed
    failed = EmbeddingTask.objects.filter(batch=uploaded["batchId"], status=Status.FAILED)
    assert {task.error_kind for task in failed} == {"input"}

    client.patch(f"{API}{seventh.pk}/", {"text": "Legible."}, content_type="application/json")
    workers.burst()
    assert read(client, seventh.pk)["text_embedding"] == "completed"


def test_system_004_receipts__invalid_receipts_are_named_and_the_others_stored(client):
    bad_item = {"description": "Tea", "price": "much"}
    receipts = [
        receipt(merchant="first"),
        {"merchant": ""},
        5,
        receipt(total="-1", purchased_on="yesterday"),
        receipt(items=[{"description": "Tea", "price": "1"}, bad_item]),
        receipt(merchant="last", items=[]),
    ]

    uploaded = upload(client, receipts)

    said = {each["position"]: {p["field"]: p["message"] for p in each["problems"]} for each in uploaded["rejected"]}
    assert said == {
        2: {
            "merchant": "This field may not be blank.",
            "purchased_on": "This field is required.",
            "total": "This field is required.",
        },
        3: {"": "Invalid data. Expected a dictionary, but got int."},
        4: {
            "total": "Ensure this value is greater than or equal to 0.",
            "purchased_on": "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.",
        },
        5: {"items.2.price": "A valid number is required."},
    }
    assert uploaded["created"] == 2
    assert sorted(Receipt.objects.values_list("merchant", flat=True)) == ["first", "last"]
    assert progress(client, uploaded)["total"] == 2 + 2 + 2
    assert EmbeddingBatch.objects.get().parameters == {
        "kind": "receipts",
        "user": "buyer",
        "receipts": 2,
        "rejected": 4,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "Send a list of receipts"),
        ({"receipts": []}, "Send a list of receipts"),
        ("[1", "JSON parse error"),
        ([receipt()] * 5001, "These are 5,001 receipts; upload at most 5,000 at a time."),
        ([{}], "Nothing was stored. Receipt 1, merchant: This field is required. Receipt 1, purchased_on:"),
        ([1] * 7, "Expected a dictionary, but got int. And 2 more."),
    ],
)
def test_system_004_receipts__upload_of_nothing_that_can_be_stored(client, content, message):
    assert message in problem(post(client, content, f"{API}upload/"), 400)
    assert not Receipt.objects.exists()
    assert not EmbeddingBatch.objects.exists()


def test_system_004_receipts__upload_that_is_too_large_is_explained(client):
    much = post(client, [receipt(text="x" * 10_000)] * 1000, f"{API}upload/")

    assert problem(much, 413) == "The request is larger than 10.0 MB; send it in parts."


def test_system_004_receipts__upload_is_stored_whole_or_not_at_all(client, broken_ledger):  # noqa: F811
    with pytest.raises(IntegrityError):
        post(client, [receipt(), receipt()], f"{API}upload/")

    assert not Receipt.objects.exists()
    assert not ReceiptItem.objects.exists()
    assert not EmbeddingBatch.objects.exists()


def test_system_004_receipts__upload_costs_no_query_a_receipt(client):
    few = queries(lambda: upload(client, [receipt()] * 5))
    many = queries(lambda: upload(client, [receipt()] * 400))

    assert few == many


def test_system_004_receipts__upload_lets_what_a_person_saves_go_ahead(client, settings):
    person = "embeddings.middleware.PersonMiddleware"
    settings.MIDDLEWARE = [*(each for each in settings.MIDDLEWARE if each != person), person]

    uploaded = upload(client, [receipt()] * 2)
    post(client, receipt())

    tasks = EmbeddingTask.objects.values_list("priority", flat=True)
    assert set(tasks.filter(batch=uploaded["batchId"])) == {"normal"}
    assert set(tasks.exclude(batch=uploaded["batchId"])) == {"high"}


def test_system_004_receipts__file_to_try_as_csv_and_as_json(client):
    file = resources.files("project.content") / "samples" / "receipts-upload.csv"

    of_csv = upload_file(client, "receipts-upload.csv", file.read_bytes())
    of_json = upload_file(client, "r.json", json.dumps(list(sample_receipts(25, seed=25))).encode())

    values = ("merchant", "purchased_on", "currency", "total", "text")
    halves = [
        [
            [*(getattr(each, name) for name in values), *each.items.values_list("description", "quantity", "price")]
            for each in Receipt.objects.filter(pk__in=keys).order_by("pk")
        ]
        for keys in (Receipt.objects.order_by("pk")[:25], Receipt.objects.order_by("pk")[25:])
    ]
    for response in (of_csv, of_json):
        assert response.status_code == 202, response.content
        assert (response.json()["data"]["created"], response.json()["data"]["rejected"]) == (25, [])
    assert halves[0] == halves[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.xlsx", b"x", "file: Upload a .json or a .csv file."),
        ("r.csv", b"a;b\n1;2", "file: The first line of the file does not name the columns receipt, merchant"),
        ("r.json", b"{", "file: The file is not JSON"),
        ("r.json", b"", "file: The submitted file is empty."),
    ],
)
def test_system_004_receipts__wrong_file_is_explained(client, name, content, message):
    assert problem(upload_file(client, name, content), 400).startswith(message)


def test_system_004_receipts__upload_without_a_file(client):
    assert problem(client.post(f"{API}upload/", {}), 400) == "file: No file was submitted."


def test_system_004_receipts__malformed_line_of_a_file_spoils_one_receipt(client):
    header = "receipt,merchant,purchased_on,total,description,price\n"
    lines = "1,A,2026-01-01,3,bread,1\n1,B,,,milk,2\n2,C,2026-01-01,3,tea,3\n"

    response = upload_file(client, "r.csv", (header + lines).encode())

    problems = [{"field": "merchant", "message": "Line 3 gives another value than the receipt's first line."}]
    assert response.json()["data"]["rejected"] == [{"position": 1, "problems": problems}]
    assert Receipt.objects.get().merchant == "C"


def test_system_004_receipts__batch_of_another_kind_is_no_upload(client):
    other = EmbeddingBatch.objects.create(name="requeue_missing")

    for pk in (other.pk, 987654, 10**30):
        assert problem(client.get(f"{API}batches/{pk}/"), 404) == f"There is no upload {pk}."


# One receipt.


def test_system_004_receipts__has_two_vectors_and_one_an_item(client, workers):
    response = post(client, receipt())
    workers.burst()

    assert response.status_code == 201
    data = read(client, response.json()["data"]["id"])
    assert (data["merchant_embedding"], data["text_embedding"], data["uploaded_by"]) == ("completed",) * 2 + ("buyer",)
    assert [(item["description"], item["quantity"], item["embedding"]) for item in data["items"]] == [
        ("Butter croissant", "2.000", "completed"),
        ("Tea", "1.000", "completed"),
    ]
    stored = Receipt.objects.get()
    assert list(stored.merchant_embedding) == pytest.approx(vector("Corner Bakery", DIMENSIONS), abs=1e-6)
    assert list(stored.text_embedding) == pytest.approx(vector(stored.text, DIMENSIONS), abs=1e-6)
    assert list(stored.items.get(position=1).embedding) == pytest.approx(vector("Tea", DIMENSIONS), abs=1e-6)


def test_system_004_receipts__change_embeds_only_what_it_changes(client, workers):
    data = post(client, receipt()).json()["data"]
    workers.burst()
    croissant, tea = data["items"]
    done = dict(EmbeddingTask.objects.values_list("pk", "completed_at"))

    items = [{"description": "Pretzel", "price": "1"}, {**tea, "price": "2.20"}]
    changed = client.patch(f"{API}{data['id']}/", {"items": items, "total": "3.20"}, content_type="application/json")

    assert changed.status_code == 200, changed.content
    assert [item["description"] for item in changed.json()["data"]["items"]] == ["Pretzel", "Tea"]
    workers.burst()
    assert ReceiptItem.objects.get(description="Tea").pk == tea["id"]
    assert ReceiptItem.objects.get(description="Tea").price == Decimal("2.20")
    assert not ReceiptItem.objects.filter(pk=croissant["id"]).exists()
    tasks = dict(EmbeddingTask.objects.values_list("pk", "completed_at"))
    assert len([pk for pk, at in tasks.items() if done.get(pk) != at]) == 1
    assert len(done.keys() - tasks.keys()) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"items": [{"id": 0}]}, "items: This receipt has no lines with the ids 0."),
        ({"items": [{"price": "1"}]}, "items: A new line needs a description and a price."),
        ({"items": [{"price": "1", "description": ""}]}, "items.1.description: This field may not be blank."),
        ({"items": "all"}, "items: Expected a list of items"),
        ({"currency": "EURO"}, "currency: Ensure this field has no more than 3 characters."),
        ({"total": "NaN"}, "total: A valid number is required."),
        ({"merchant": "\0"}, "merchant: Null characters are not allowed."),
    ],
)
def test_system_004_receipts__change_says_what_is_wrong(client, values, message):
    data = post(client, receipt()).json()["data"]

    response = client.patch(f"{API}{data['id']}/", values, content_type="application/json")

    assert problem(response, 400).startswith(message)
    assert ReceiptItem.objects.count() == 2


def test_system_004_receipts__line_may_be_named_once(client):
    data = post(client, receipt()).json()["data"]

    values = {"items": [data["items"][0], data["items"][0]]}
    response = client.patch(f"{API}{data['id']}/", values, content_type="application/json")

    assert problem(response, 400) == "items: A line is named twice by its id."


def test_system_004_receipts__deleted_goes_with_items_and_tasks(client):
    data = post(client, receipt()).json()["data"]

    assert client.delete(f"{API}{data['id']}/").status_code == 204
    assert not ReceiptItem.objects.exists()
    assert not EmbeddingTask.objects.exists()


def test_system_004_receipts__who_may(person, client_of):
    stranger = client_of(person("stranger"))

    for path in (API, f"{API}batches/1/"):
        assert problem(stranger.get(path), 403) == "This needs the permission content.view_receipt."
        assert problem(Client().get(path), 403)
    for path in (API, f"{API}upload/"):
        assert problem(post(stranger, [receipt()], path), 403) == "This needs the permission content.add_receipt."


def test_system_004_receipts__lists_cost_no_query_a_row(client, admin_client):
    def costs() -> list[int]:
        lists = [(client, API), (client, uploaded["progress"]), (admin_client, LIST)]
        return [queries(lambda each=each: each[0].get(each[1])) for each in lists]

    uploaded = upload(client, [receipt()])
    few = costs()
    uploaded = upload(client, [receipt()] * 40)
    many = costs()

    assert few == many
    assert len(client.get(API).json()["data"]["results"]) == 41
    assert admin_client.get(LIST).content.decode().count("0 of 2 ready") == 41


# The admin.


def test_system_004_receipts__admin_adds_one_with_its_items(admin_client, workers):
    form = {
        "merchant": "Corner Bakery",
        "purchased_on": "2026-03-14",
        "total": "1.80",
        "currency": "EUR",
        "text": "printed",
        "items-TOTAL_FORMS": "1",
        "items-INITIAL_FORMS": "0",
        "items-0-position": "0",
        "items-0-description": "Butter croissant",
        "items-0-quantity": "1",
        "items-0-price": "1.80",
    }

    added = admin_client.post(f"{LIST}add/", form)
    workers.burst()

    assert added.status_code == 302, added.content
    stored = Receipt.objects.get()
    assert stored.uploaded_by.is_superuser
    assert stored.items.get().embedding is not None
    assert "1 of 1 ready" in admin_client.get(LIST).content.decode()
    page = admin_client.get(f"{LIST}{stored.pk}/change/").content.decode()
    assert (page.count("ready"), page.count(">completed<")) == (1, 2)


def test_system_004_receipts__admin_page_costs_no_query_an_item(admin_client):
    items = [{"description": "Tea", "price": "1"}]
    upload(admin_client, [receipt(items=items), receipt(items=items * 30)])
    small, large = (f"{LIST}{pk}/change/" for pk in Receipt.objects.order_by("pk").values_list("pk", flat=True))

    assert queries(lambda: admin_client.get(small)) == queries(lambda: admin_client.get(large))
    page = admin_client.get(large).content.decode()
    assert (page.count("embedding…"), page.count(">pending<")) == (30, 2)


# The samples.


def test_system_004_receipts__samples_are_loaded_once_and_stay_as_edited(redis_client):
    call_command("load_content", limit=1, verbosity=0)
    Receipt.objects.filter(pk=Receipt.objects.first().pk).update(merchant="Mine")

    call_command("load_content", limit=1, verbosity=0)

    assert Receipt.objects.count() == 150
    assert Receipt.objects.filter(merchant="Mine").count() == 1
    assert {each.items.count() for each in Receipt.objects.all()} <= set(range(1, 9))
    assert len(set(Receipt.objects.values_list("merchant", flat=True))) > 12
    batch = EmbeddingBatch.objects.get(name="Sample receipts")
    assert batch.total == EmbeddingTask.objects.filter(batch=batch).count()


def test_sample_receipts__are_the_same_each_time_and_add_up():
    receipts = list(sample_receipts(50, seed=1))

    assert receipts == list(sample_receipts(50, seed=1))
    assert receipts != list(sample_receipts(50, seed=2))
    for each in receipts:
        assert sum(item["quantity"] * Decimal(item["price"]) for item in each["items"]) == Decimal(each["total"])
