"""A live call to each provider: `ping`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from embeddings import conf, connectivity
from embeddings.cli import wording
from embeddings.cli.report import DONE, FAILED, NOT_DONE, Options, Report, Subcommand
from embeddings.cli.screen import Screen, Table
from embeddings.connectivity import Ping
from embeddings.exceptions import ConfigurationError


def run(options: Options, screen: Screen) -> Report:
    """Ask each, or one, for a vector."""
    given = options["provider"]
    aliases = conf.provider_aliases() if given is None else [conf.provider_settings(given).alias]
    if not aliases:
        raise ConfigurationError("EMBEDDING_PROVIDERS has no provider yet; add one to your settings.")
    answers = [_ping(alias) for alias in aliases]
    failed = [answer for answer in answers if answer.error]
    exit_code = DONE if not failed else FAILED if len(failed) == len(answers) else NOT_DONE
    return Report({"providers": [_data(answer) for answer in answers]}, [_table(answers), *_errors(failed)], exit_code)


def _ping(alias: str) -> Ping:
    try:
        return connectivity.ping(alias)
    except ConfigurationError as exc:  # It is there, but cannot be made.
        return Ping(alias, "", 0, 0.0, str(exc), None)


def _data(answer: Ping) -> dict[str, Any]:
    quota = None
    if answer.quota is not None:
        quota = {name: {"used": used, "limit": limit} for name, (used, limit) in answer.quota.items()}
    return {
        "provider": answer.alias,
        "modelId": answer.model_id,
        "dimensions": answer.dimensions,
        "isAnswering": not answer.error,
        "latencySeconds": round(answer.latency_seconds, 4),
        "error": answer.error,
        "quota": quota,
    }


def _table(answers: list[Ping]) -> Table:
    rows = [
        (
            answer.alias,
            answer.model_id or wording.NONE,
            f"{answer.dimensions:,}" if answer.dimensions else wording.NONE,
            "no" if answer.error else "yes",
            wording.seconds(answer.latency_seconds) if answer.latency_seconds else wording.NONE,
            _quota(answer),
        )
        for answer in answers
    ]
    return Table(("provider", "model", ">dimensions", "answers", ">after", "used of its quotas a minute"), rows)


def _quota(answer: Ping) -> str:
    if answer.quota is None:
        return "not known: Redis is away"
    used = (f"{used:,} of {limit:,} {name}" for name, (used, limit) in answer.quota.items())
    return ", ".join(used) or "no quota"


def _errors(failed: list[Ping]) -> list[str]:
    return [f"{answer.alias}: {wording.shortened(answer.error, 500)}" for answer in failed]


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--provider", metavar="ALIAS", help="Only this one.")


SUBCOMMANDS = [
    Subcommand(
        "ping",
        "A live call to each provider: its latency, dimensions and quota.",
        run,
        _add_arguments,
        "It spends a token or two of each. It exits with 1 if some do not answer, 2 if none does.",
    )
]
