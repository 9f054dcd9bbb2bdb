"""docs/reference.md says of each thing what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands

from embeddings import alerts, exceptions
from embeddings.admin.explanations import ERROR_KIND
from embeddings.chunks import Chunking
from embeddings.conf import EmbeddingSettings, ProviderSettings
from embeddings.conf.providers import _PROVIDER_KEYS
from embeddings.fields import EmbeddingField
from embeddings.live.reading import NAMES
from embeddings.models import Alert, Priority, Status, WebhookEvent
from embeddings.providers.openai.options import NAMES as OPENAI_OPTIONS
from project import environment
from tests.docs.pages import ROOT, table_under

REFERENCE = ROOT / "docs" / "reference.md"
_CODE = re.compile(r"`([^`]+)`")


def rows(heading: str) -> dict[str, list[str]]:
    """{what the first cell names: the other cells} of the first table below a heading."""
    return {name: row[1:] for row in table_under(REFERENCE, heading) for name in _CODE.findall(row[0])}


def value(cell: str) -> Any:
    """What a cell has as Python."""
    (code,) = _CODE.findall(cell)
    return ast.literal_eval(code)


def sources() -> Iterator[str]:
    return (path.read_text() for path in (ROOT / "embeddings").rglob("*.py"))


def test_embeddings__has_each_key_with_its_type_and_default() -> None:
    documented = {name: (kind, value(default)) for name, (kind, default, _) in rows("EMBEDDINGS").items()}

    settings = EmbeddingSettings()
    actual = {f.name.upper(): (kind_of(getattr(settings, f.name)), getattr(settings, f.name)) for f in fields(settings)}
    assert documented == actual


def kind_of(default: Any) -> str:
    kinds = {bool: "bool", int: "int", float: "float", str: "str", tuple: "list", dict: "dict"}
    return kinds[type(default)]


def test_embedding_providers__has_each_key() -> None:
    documented = rows("EMBEDDING_PROVIDERS")

    assert set(documented) == _PROVIDER_KEYS
    defaults = {f.name.upper(): f for f in fields(ProviderSettings)}
    for name, (_, default, _) in documented.items():
        has_default = name in defaults and (defaults[name].default, defaults[name].default_factory) != (MISSING,) * 2
        assert bool(default) == has_default, name


def test_openai_options__are_all_there() -> None:
    assert set(rows("OpenAI's options")) == OPENAI_OPTIONS


def test_live_settings__are_all_there() -> None:
    documented = rows("Live settings")

    assert set(documented) == set(NAMES)
    assert {key for cells in documented.values() for key in _CODE.findall(cells[0])} <= set(rows("EMBEDDINGS"))


def test_field__takes_what_it_says() -> None:
    documented = {name: cells[-1] for name, cells in rows("What a field takes").items()}
    parameters = inspect.signature(EmbeddingField.__init__).parameters

    assert set(documented) == set(parameters) - {"self", "kwargs"}
    for name, default in documented.items():
        if default:
            assert ast.literal_eval(_CODE.findall(default)[0]) == parameters[name].default, name


def test_chunking__takes_what_it_says() -> None:
    text = REFERENCE.read_text().partition("| Option of `Chunking` |")[2].partition("\n\n")[0]
    named = {name for line in text.splitlines() for name in _CODE.findall(line.split("|")[1] if "|" in line else "")}

    assert named == set(inspect.signature(Chunking.__init__).parameters) - {"self"}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Statuses", Status.values),
        ("Priorities", Priority.values),
        ("Kinds of error", ERROR_KIND),
        ("Events", WebhookEvent.Kind.values),
        ("Alerts", Alert.Kind.values),
        ("Signals", [f"embeddings.alerts.{name}" for name in alerts.__all__ if name.startswith("alert_")]),
    ],
)
def test_tables__name_all(heading: str, names: Any) -> None:
    assert set(rows(heading)) == set(names)


def test_exceptions__stand_in_their_tree() -> None:
    documented = {name: _CODE.findall(cells[0])[0] for name, cells in rows("Exceptions").items()}

    classes = [each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert documented == {each.__name__: each.__bases__[0].__name__ for each in classes}


def test_system_checks__are_all_there() -> None:
    ids = {found for source in sources() for found in re.findall(r'"(embeddings\.[EWI]\d{3})"', source)}

    assert set(rows("System checks")) == ids


def test_permissions__are_those_that_open_something() -> None:
    documented = set(rows("Permissions"))
    actual = {
        name
        for model in apps.get_app_config("embeddings").get_models()
        for name in [
            *(f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions),
            *(name for name, _ in model._meta.permissions),
        ]
    }

    assert documented <= actual
    silent = {name for name in actual - documented if "targetmodelid" not in name}
    assert {name.partition("_")[0] for name in silent} <= {"add", "change", "delete"}


def test_management_commands__are_all_there() -> None:
    documented = {name.split()[0] for name in rows("Management commands")}

    ours = {name for name, app in get_commands().items() if app == "embeddings"}
    assert documented == ours | {"rqworker"}


def test_environment__has_each_variable_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    documented = {name: cells[0] for name, cells in rows("The reference project's environment").items()}
    read: dict[str, str] = {}

    def text(name: str, default: str) -> str:
        read[name] = default
        return default

    monkeypatch.setattr(environment, "text", text)
    monkeypatch.setattr(environment, "_running_services", dict)
    environment.read()
    # Asked for twice: whether it must be set, and what it is.
    read["DJANGO_SECRET_KEY"] = ""

    assert set(documented) == set(read)
    for name, cell in documented.items():
        if name not in {"DATABASE_URL", "REDIS_URL"}:
            assert (_CODE.findall(cell) or [""])[0] == read[name], name
