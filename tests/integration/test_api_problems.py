"""Whatever goes wrong over the API: one shape, and a sentence that says what to do."""

from __future__ import annotations

import base64

import pytest
from rest_framework.test import APIClient

from tests.integration.api_clients import API, RETRY, VIEW, problem
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db

JSON = "application/json"


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
@pytest.mark.parametrize(
    "path", ["nothing/", "tasks/x/", "tasks/%00/", f"tasks/{'9' * 5000}/", "tasks/1/retry/now/", ""]
)
def test_address__that_is_none(path, method):
    code, message = problem(getattr(APIClient(), method)(API + path), 404)

    assert code == "not_found"
    assert message.startswith("There is no address /api/embeddings/")


def test_address__without_its_slash():
    message = problem(APIClient().post(f"{API}tasks/7/retry"), 404)[1]

    assert message.endswith(" Addresses here end with a slash.")


def test_method__that_is_not_possible(api):
    response = api(RETRY).get(f"{API}tasks/{make_task().pk}/retry/")

    assert problem(response, 405) == ("method_not_allowed", "GET is not possible here; use POST.")


def test_answer__that_is_not_json(api):
    response = api(VIEW).get(f"{API}tasks/", headers={"accept": "application/xml"})

    assert problem(response, 406) == (
        "not_acceptable",
        "The answer is JSON: send `Accept: application/json`, or no such header.",
    )


def test_body__that_is_not_json(api):
    response = api("add_directtext").post(f"{API}texts/", "hello", content_type="text/plain")

    assert problem(response, 415) == (
        "unsupported_media_type",
        "Send JSON, with the header `Content-Type: application/json`.",
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "JSON parse error - "),
        ("\xff", "JSON parse error - "),
        ('{"text": NaN}', "JSON parse error - "),
        (f'{{"text": {"1" * 5000}}}', "JSON parse error - "),
        ("[" * 200_000, "The JSON is nested too deeply."),
    ],
    ids=["cut off", "not utf-8", "nan", "huge number", "deep"],
)
def test_body__that_is_broken(api, body, said):
    response = api("add_directtext").post(f"{API}texts/", body.encode("latin-1"), content_type=JSON)

    code, message = problem(response, 400)

    assert code == "parse_error"
    assert message.startswith(said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"text": "a\\u0000b"}', "text: Null characters are not allowed."),
        ('{"text": "\\ud800"}', "text: Surrogate characters are not allowed: U+D800."),
        ('{"text": ["a"]}', "text: Not a valid string."),
        ("[]", "Invalid data. Expected a dictionary, but got list."),
        ("7", "Invalid data. Expected a dictionary, but got int."),
        ("null", "No data provided"),
    ],
)
def test_body__whose_values_cannot_be_used(api, body, said):
    response = api("add_directtext").post(f"{API}texts/", body, content_type=JSON)

    assert problem(response, 400) == ("invalid", said)


def test_body__that_is_too_large(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100_000

    response = api("add_directtext").post(f"{API}texts/", {"text": "x" * 100_000}, format="json")

    assert problem(response, 413) == ("too_large", "The request is larger than 0.1 MB; send it in parts.")


def test_form__with_too_many_fields(api, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1

    response = api("add_directtext").post(f"{API}texts/", {"text": "a", "immediate": "false"})

    assert problem(response, 400)[0] == "parse_error"


@pytest.mark.parametrize("name", ["reader\0", "\ufffe", "x" * 10_000])
def test_login__with_a_name_that_nobody_has(name):
    credentials = base64.b64encode(f"{name}:x".encode()).decode()

    response = APIClient(headers={"authorization": f"Basic {credentials}"}).get(f"{API}tasks/")

    assert problem(response, response.status_code)[0] == "authentication_failed"
    assert response.status_code in {401, 403}
