"""Which tasks are meant: the filters of `retry`, `cancel`, `clear` and `failed`."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandParser

from embeddings import conf
from embeddings.cli.parsing import add_database, positive
from embeddings.cli.report import Options
from embeddings.exceptions import FilterError
from embeddings.models import Status
from embeddings.task_filter import TaskFilter

_FILTERS = ("status", "model", "field", "provider", "error_kind", "signature", "batch", "worker")


def add_filters(parser: CommandParser, *, has_status: bool = True) -> None:
    """Those of the task list; all that are given must fit."""
    group = parser.add_argument_group("which tasks", "All that are given must fit.")
    if has_status:
        group.add_argument(
            "--status", action="append", choices=Status.values, metavar="STATUS", help="In this state; repeatable."
        )
        group.add_argument("--worker", metavar="NAME", help="In hand of this worker.")
    group.add_argument("--model", metavar="APP.MODEL[.FIELD]", help="Of this model, or of this field of it.")
    group.add_argument("--field", metavar="NAME", help="Of fields of this name.")
    group.add_argument("--provider", metavar="ALIAS", help="Of this provider.")
    group.add_argument("--error-kind", metavar="KIND", help="rate_limit, transient, input, configuration or crash.")
    group.add_argument("--signature", metavar="TEXT", help="Failed with this error, as `embeddings failed` shows it.")
    group.add_argument("--batch", type=positive, metavar="ID", help="Of this batch.")
    add_database(parser)


def is_given(options: Options) -> bool:
    """Whether any filter is."""
    return any(options.get(name) is not None for name in _FILTERS)


def database(options: Options) -> str:
    """The one that is asked for; raises FilterError if there are no embeddings in it."""
    databases = conf.current().databases
    using: str = options["database"] or databases[0]
    if using not in databases:
        raise FilterError(f"EMBEDDINGS['DATABASES'] has no {using!r}; it has {', '.join(databases)}.")
    return using


def wanted(options: Options) -> TaskFilter:
    """The filter; raises FilterError if it makes no sense."""
    using = database(options)
    values: dict[str, Any] = {"using": using, **_model(options, using)}
    for name, column in (("error_kind", "error_kind"), ("signature", "error_signature"), ("worker", "worker")):
        if options.get(name) is not None:
            values[column] = _text(options[name], name)
    if options["provider"] is not None:
        values["provider"] = _text(options["provider"], "provider")
    if options["batch"] is not None:
        values["batch_id"] = options["batch"]
    return TaskFilter(statuses=_statuses(options), **values)


def _statuses(options: Options) -> tuple[str, ...]:
    """Those that are asked for; an error's signature is of failed tasks only, a worker has only what is in hand."""
    statuses = tuple(dict.fromkeys(options.get("status") or ()))
    if statuses:
        return statuses
    if options.get("worker"):
        return (Status.PROCESSING.value,)
    return (Status.FAILED.value,) if options["signature"] else ()


def _model(options: Options, using: str) -> dict[str, Any]:
    found: dict[str, Any] = {"field": _text(options["field"], "field")} if options["field"] is not None else {}
    if options["model"] is None:
        return found
    app, _, rest = options["model"].lower().partition(".")
    model, _, field = rest.partition(".")
    content_type = ContentType.objects.db_manager(using).filter(app_label=app, model=model).first()
    if content_type is None:
        raise FilterError(f"There is no model {options['model']!r}; name one as app.model, or app.model.field.")
    if field:
        found["field"] = options["model"].split(".", 2)[2]
    return {"content_type_id": content_type.pk, **found}


def _text(value: str, name: str) -> str:
    """An empty one is a mistake: a variable of the shell that is not set must not mean all."""
    if not value or len(value) > 255 or "\0" in value:
        raise FilterError(f"--{name.replace('_', '-')} needs a value of at most 255 characters.")
    return value
