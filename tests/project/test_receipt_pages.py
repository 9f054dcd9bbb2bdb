from __future__ import annotations

import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from embeddings.models import EmbeddingBatch
from project.content.models import Receipt

pytestmark = pytest.mark.django_db(transaction=True)

HTMX = {"HX-Request": "true"}
UPLOADER = ("view_receipt", "add_receipt")
GOOD = {
    "merchant": "Corner Bakery",
    "purchased_on": "2026-03-01",
    "total": "7.20",
    "text": "1 x Sourdough loaf\n1 x Apple strudel & cream",
    "items": [{"description": "Sourdough loaf", "price": "4.00"}, {"description": "Apple <strudel>", "price": "3.20"}],
}
# A receipt has two vectors, and each of its items one.
VECTORS = 4


def upload(client: Client, content: object, name: str = "receipts.json", **options: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    response = client.post("/receipts/", {"file": SimpleUploadedFile(name, data)}, **options)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def html_of(client: Client, path: str, **options: object) -> str:
    response = client.get(path, **options)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_receipts__strangers_log_in_first(client):
    assert client.get("/receipts/").headers["Location"] == "/login/?next=/receipts/"
    assert client.get("/receipts/1/").headers["Location"] == "/login/?next=/receipts/1/"


def test_receipts__without_the_permission_to_add(client, log_in):
    log_in("view_receipt")

    assert "<form" not in html_of(client, "/receipts/").partition("<main")[2]
    assert client.post("/receipts/", headers=HTMX).status_code == 403


def test_upload__is_watched_until_it_is_finished(client, log_in, embed):
    log_in(*UPLOADER)

    html = upload(client, [GOOD, GOOD], headers=HTMX)
    batch = EmbeddingBatch.objects.get()

    assert "<html" not in html
    assert "<b>2 receipts</b> stored." in html
    assert f"<b>0</b> of {2 * VECTORS} vectors ready" in html
    assert f'hx-get="/receipts/uploads/{batch.pk}/"' in html
    embed()
    html = html_of(client, f"/receipts/uploads/{batch.pk}/", headers=HTMX)
    assert f"<b>{2 * VECTORS}</b> of {2 * VECTORS} vectors ready" in html
    assert "finished" in html
    assert "hx-get" not in html


def test_upload__those_that_are_wrong_are_named(client, log_in):
    log_in(*UPLOADER)

    html = upload(client, [GOOD, {**GOOD, "total": "<much>"}, GOOD], headers=HTMX)

    assert "<b>2 receipts</b> stored." in html
    assert "1 receipt was not stored; the others were:" in html
    assert "<li>Receipt 2: total: A valid number is required.</li>" in html
    assert Receipt.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("receipts.pdf", b"%PDF", "Upload a .json or a .csv file."),
        ("receipts.json", b"{", "The file is not JSON"),
        ("receipts.json", b"[]", "The file has no receipts"),
        ("receipts.csv", b"a,b\n1,2\n", "The first line of the file does not name the columns"),
        ("receipts.csv", "merchant\nCafé".encode("latin-1"), "The file is not UTF-8"),
        ("receipts.json", b"", "The submitted file is empty."),
    ],
)
def test_upload__a_wrong_file_is_explained_at_its_field(client, log_in, name, content, sentence):
    log_in(*UPLOADER)

    html = upload(client, content, name, headers=HTMX)

    assert re.search(rf'<ul class="errorlist" id="id_file_error"><li>{re.escape(sentence)}', html)
    assert not EmbeddingBatch.objects.exists()


def test_upload__without_a_file(client, log_in):
    log_in(*UPLOADER)

    html = client.post("/receipts/", headers=HTMX).content.decode()

    assert "This field is required." in html


def test_upload__without_script(client, log_in):
    log_in(*UPLOADER)

    html = upload(client, [GOOD, {}])

    assert "<html" in html
    assert "<b>1 receipt</b> stored." in html
    assert "Receipt 2: merchant: This field is required." in html


def test_upload__has_a_page_of_its_own(client, log_in, embed):
    user = log_in(*UPLOADER)
    upload(client, [GOOD], name="<march>.json")
    batch = EmbeddingBatch.objects.get()

    html = html_of(client, f"/receipts/uploads/{batch.pk}/")

    assert '<h1 class="title">Upload of &lt;march&gt;.json</h1>' in html
    assert f"by {user}" in html
    assert 'hx-trigger="every 1s"' in html
    assert f'<a href="/receipts/uploads/{batch.pk}/">' in html_of(client, "/receipts/")


def test_upload__of_other_things_is_none_of_receipts(client, log_in):
    log_in(*UPLOADER)
    batch = EmbeddingBatch.objects.create(name="requeue")

    assert client.get(f"/receipts/uploads/{batch.pk}/").status_code == 404


def test_receipt__its_items_and_their_states(client, log_in, embed):
    log_in(*UPLOADER)
    upload(client, [GOOD])
    embed()
    receipt = Receipt.objects.get()

    html = html_of(client, f"/receipts/{receipt.pk}/")

    assert "<td>Apple &lt;strudel&gt;</td><td>1</td><td>3.20</td>" in html
    assert html.count('<span class="state ready">ready</span>') == 2
    assert f'<span id="state-receipt-{receipt.pk}" class="state ready">ready</span>' in html
    assert "7.20 EUR" in html


def test_search__a_receipt_by_its_words(client, log_in):
    log_in(*UPLOADER)
    upload(client, [GOOD])

    html = html_of(client, "/?q=strudel&mode=keyword&only=receipts")

    assert "Corner Bakery, 2026-03-01" in html
    assert "Apple <mark>strudel</mark> &amp; cream" in html
