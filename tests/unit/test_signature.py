"""Messages as providers, PostgreSQL and our own code write them: which are one cause, and which are not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embeddings.signature import without_particulars

SERVER = "text-embedding-3-small at api.openai.com"
PLEASE = "Please try again in {}. Visit https://platform.openai.com/account/rate-limits to learn more"

# {cause: messages that differ in nothing but particulars}.
CAUSES = {
    "tokens a minute": [
        f"{SERVER} asked to slow down: Rate limit reached for text-embedding-3-small in organization org-AbC123 on "
        f"tokens per min (TPM): Limit {limit}, Used {used}, Requested {asked}. {PLEASE.format(wait)}."
        for limit, used, asked, wait in [("1000000", "999,001", "8192", "6m0s"), ("40000", "3", "1", "20ms")]
    ],
    "requests a minute": [
        f"{SERVER} asked to slow down: Rate limit reached for text-embedding-3-small in organization {org} on "
        f"requests per min (RPM): Limit 3, Used 3, Requested 1. {PLEASE.format('1.2s')}."
        for org in ("org-AbC123", "org-Z9zz0yXwV8u")
    ],
    "busy": [f"{SERVER} asked to slow down: Model is overloaded."],
    "credit": [f"{SERVER} has no credit left for this account; check its billing: You exceeded your current quota."],
    "key": [
        f"{SERVER} refused the key ({status}); check API_KEY in EMBEDDING_PROVIDERS['{alias}']: Incorrect API key "
        f"provided: …. You can find your API key at https://platform.openai.com/{page}."
        for status, alias, page in [(401, "default", "account/api-keys"), (401, "second", "account/api-keys?x=1")]
    ],
    "no key": [
        f"{SERVER} refused the key (401); check API_KEY in EMBEDDING_PROVIDERS['default']: You didn't provide an API "
        "key. You need to provide your API key in an Authorization header."
    ],
    "model": [
        f"{SERVER} knows no such model or address (404); check MODEL and BASE_URL in EMBEDDING_PROVIDERS['default']: "
        f"The model `{name}` does not exist or you do not have access to it."
        for name in ("ada", "text-embedding-9")
    ],
    "dimensions": [
        f"{SERVER} does not take this model with these settings (400): Invalid value for 'dimensions' = {value}. "
        f"Must be between 1 and {most}."
        for value, most in [(5000, 1536), (9, 8)]
    ],
    "no dimensions": [
        f"{SERVER} does not take this model with these settings (400): This model does not support specifying "
        "dimensions."
    ],
    "parameter": [f"{SERVER} does not take this model with these settings (400): Unknown parameter: 'dimensions'."],
    "other parameter": [f"{SERVER} does not take this model with these settings (400): Unknown parameter: 'user'."],
    "context": [
        f"{SERVER} refused an input, or the request, as too long (400): This model's maximum context length is {most} "
        f"tokens, however you requested {asked} tokens ({asked} in your prompt; 0 for the completion)."
        for most, asked in [(8192, 51435), ("8,192", "9,001")]
    ],
    "input": [
        f"{SERVER} refused an input, or the request, as too long (400): Invalid 'input[{position}]': maximum input "
        "length is 8192 tokens."
        for position in (3, 217)
    ],
    "validation": [
        f"{SERVER} refused an input, or the request, as too long (413): Input validation error: `inputs` must have "
        f"less than 512 tokens. Given: {given}."
        for given in (516, 10_000)
    ],
    "invalid": [f"{SERVER} refused an input (400): '$.input' is invalid. Please check the API reference."],
    "parse": [f"{SERVER} refused an input (400): We could not parse the JSON body of your request."],
    "failed": [
        f"{SERVER} failed (500): The server had an error processing your request. (Error ID: {error_id})."
        for error_id in ("req_011CSHoEeqs5C35K2UUqFy7R", "req_5f1c9d")
    ],
    "overloaded": [f"{SERVER} failed (503): The engine is currently overloaded."],
    "other model": ["text-embedding-3-large at api.openai.com failed (503): The engine is currently overloaded."],
    "other server": ["text-embedding-3-small at gpu.example failed (503): The engine is currently overloaded."],
    "reached": [
        f"{SERVER} could not be reached, or broke off its answer: [Errno {n}] Connection refused." for n in (1, 111)
    ],
    "time": [f"{SERVER} did not answer in time."],
    "json": [f"{SERVER} sent something else than JSON."],
    "vectors": [f"{SERVER} sent {sent} vectors for {texts} texts." for sent, texts in [(1, 2), (255, 256)]],
    "too long": [f"An input is longer than about {tokens} tokens." for tokens in (8192, 512)],
    "no word": ["An input has no known word, so it has no vector."],
    "surrogate": ["An input holds half of a surrogate pair, which is not valid Unicode."],
    "empty": ["An input is empty."],
    "NaN": ["The provider returned a vector with NaN, infinity or no numbers for this text."],
    "unique": ['duplicate key value violates unique constraint "shop_item_slug_key"'],
    "other unique": ['duplicate key value violates unique constraint "shop_item_ean_key"'],
    "null": ['null value in column "owner_id" of relation "shop_item" violates not-null constraint'],
    "other null": ['null value in column "price" of relation "shop_item" violates not-null constraint'],
    "check": ['new row for relation "shop_item" violates check constraint "price_positive"'],
    "length": [f"value too long for type character varying({most})" for most in (50, 255)],
    "syntax": [f'invalid input syntax for type integer: "{value}"' for value in ("Jane's", "12x")],
    "width": [f"expected 256 dimensions, not {got}" for got in (128, 1536)],
    "statement": ["canceling statement due to statement timeout"],
    "lock": ["canceling statement due to lock timeout"],
    "deadlock": ["deadlock detected"],
    "connection": [
        f'connection failed: connection to server at "{host}", port {port} failed: Connection refused'
        for host, port in [("127.0.0.1", 5432), ("10.0.0.17", 6432)]
    ],
    "clients": ['connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  too many clients'],
    "attribute": ["the source of shop.Item.embedding failed: AttributeError: 'Item' object has no attribute 'price'"],
    "other attribute": [
        "the source of shop.Item.embedding failed: AttributeError: 'Item' object has no attribute 'ean'"
    ],
    "other target": [
        "the source of shop.Order.embedding failed: AttributeError: 'Order' object has no attribute 'ean'"
    ],
    "literal": [f"invalid literal for int() with base 10: {quoted}" for quoted in ("'x'", '"it\'s 4"', "'…'")],
    "box": [f"The box holds a value for '{name}', a field that shop.Item has no more." for name in ("size", "hue")],
    "owner": [f"no owner {who}" for who in ("jane@shop.example", "j.roe+x@mail.shop.example")],
    "object": [f"<Item object at {address}> cannot be read" for address in ("0x7f3a9c", "0x00ff10")],
    "uuid": [
        f"no page {key}" for key in ("6b29fc40-ca47-1067-b31d-00dd010662da", "00000000-0000-0000-0000-000000000001")
    ],
    "digest": [f"blob {key} is gone" for key in ("0123456789abcdef", "01ARZ3NDEKTSV4RRFFQ69G5FAV")],
    "since": [f"locked since {at}" for at in ("2026-11-22T14:30:28.123Z", "2026-11-22 14:30:28+00:00", "2026-01-01")],
    "ids": [f"no rows for {ids}" for ids in ("[1, 2, 3]", "[17]", "[4, 5]")],
    "waited": [f"gave up after {wait}" for wait in ("1 second", "20 seconds", "3 minutes", "1.5s")],
}


@pytest.mark.parametrize("messages", CAUSES.values(), ids=CAUSES)
def test_without_particulars__is_one_for_one_cause(messages: list[str]) -> None:
    assert len({without_particulars(message) for message in messages}) == 1


def test_without_particulars__is_different_for_different_causes() -> None:
    found = {cause: without_particulars(messages[0]) for cause, messages in CAUSES.items()}

    same = [(one, other) for one, other in itertools.combinations(found, 2) if found[one] == found[other]]

    assert same == []


def test_without_particulars__leaves_a_sentence_that_people_can_read() -> None:
    message = "This model's maximum context length is 8192 tokens, and it's not enough for 'Moby Dick'."

    assert without_particulars(message) == (
        "This model's maximum context length is … tokens, and it's not enough for …."
    )


@given(st.text(max_size=300))
def test_without_particulars__takes_any_text(message: str) -> None:
    assert len(without_particulars(message)) <= len(message)
