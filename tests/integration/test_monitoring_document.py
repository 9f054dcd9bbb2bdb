"""docs/monitoring.md: its tables are complete, and its rules ask for what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from embeddings import limiter, logs, pauses, stats
from embeddings.models import Alert, Pause, WebhookDelivery, WebhookEndpoint
from embeddings.monitoring import prometheus
from tests.integration.conftest import dummy
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(databases=["default", "other"])

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "monitoring.md").read_text()
ROW = re.compile(r"^\| (`[^|]*) \|([^|]*)\|", re.M)
CODE = re.compile(r"`([^`]+)`")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
SERIES = re.compile(r"\b(embeddings_\w+)(?:\{(\w+)=~?\"([^\"]*)\"\})?")


@pytest.fixture
def labels(settings, redis_client) -> dict[str, dict[str, set[str]]]:
    """{name of a series: {label: its values}} of all that /metrics can show."""
    quotas = {"REQUESTS_PER_MINUTE": 60, "TOKENS_PER_MINUTE": 60}
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], **quotas}}
    make_task()
    limiter.misconfigured("default", "The key is wrong.")
    pauses.pause(Pause.Kind.EVERYTHING, reason="A test", by="ann")
    Alert.objects.create(kind=Alert.Kind.NO_WORKER, message="No worker.", seen_at=stats.situation().now)
    endpoint = WebhookEndpoint.objects.create(name="a", url="https://a.example", events=[])
    WebhookDelivery.objects.create(endpoint=endpoint, kind="task.failed", message_id="1", payload={})
    prometheus.collector.forget()
    found: dict[str, dict[str, set[str]]] = {}
    for family in prometheus.collector.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.setdefault(name, {label: set() for label in family._labelnames})
        for sample in family.samples:
            values = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                values[label] = values.get(label, set()) | {value}
    prometheus.collector.forget()
    return found


def table(heading: str) -> dict[str, list[str]]:
    """{name in the first column: names in the second} of the table with this heading."""
    rows = TEXT.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return {name: CODE.findall(second) for first, second in ROW.findall(rows) for name in CODE.findall(first)}


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(text) for language, text in BLOCK.findall(TEXT) if language == "yaml"]
    return [rule for document in documents for group in document.get("groups", []) for rule in group["rules"]]


def test_metrics__are_all_in_the_table_with_their_labels(labels):
    suffixes = ("_bucket", "_count", "_sum")
    shown = {name: set(values) - {"le"} for name, values in labels.items() if not name.endswith(suffixes)}

    assert {name: set(names) for name, names in table("Metric | Labels").items()} == shown


def test_fields__are_all_in_the_table():
    assert set(table("Field")) == set(logs.FIELDS)


def test_rules__ask_for_series_labels_and_values_that_exist(labels):
    asked = [series for rule in rules() for series in SERIES.findall(rule["expr"])]

    assert len(rules()) > 5
    assert not {name for name, _, _ in asked} - labels.keys() - {f"{name}_bucket" for name in labels}
    for name, label, values in asked:
        assert not label or set(values.split("|")) <= labels[name][label], (name, label, values)


def test_rules__have_names_and_summaries_of_labels_that_exist(labels):
    names = [rule["alert"] for rule in rules()]

    assert len(set(names)) == len(names)
    for rule in rules():
        series, *_ = SERIES.findall(rule["expr"])
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert used <= set(labels[series[0].removesuffix("_bucket")]), rule["alert"]


def test_yaml_blocks__can_be_read():
    blocks = [text for language, text in BLOCK.findall(TEXT) if language == "yaml"]

    assert len(blocks) == 2
    assert all(isinstance(yaml.safe_load(text), dict) for text in blocks)
