"""One run of schemathesis over the whole schema of a site, as one user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemathesis import engine, openapi
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

# More examples of each operation, and others, find more: SCHEMA_EXAMPLES=200 SCHEMA_SEED=7 make test ARGS=…
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "4"))
SEED = int(os.environ.get("SCHEMA_SEED", "1"))

OFF = {"enabled": False}
# A schema cannot say which keys exist, nor that what it does not name is ignored.
CHECKS = {
    "positive_data_acceptance": OFF,
    "negative_data_rejection": OFF,
    # Where an operation may answer 503, its schema says so, which is checked.
    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
}


@dataclass
class Run:
    """What was asked, and what was wrong."""

    # {"GET /api/…": the statuses of its answers}
    statuses: dict[str, set[int]] = field(default_factory=dict)
    # What was wrong, each once for an operation.
    problems: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def succeeded(self) -> set[str]:
        return {label for label, statuses in self.statuses.items() if any(status < 300 for status in statuses)}

    def __str__(self) -> str:
        told = [f"{label}: {title}: {what}" for (label, title), what in self.problems.items()]
        return "\n\n".join([f"With SCHEMA_SEED={SEED} SCHEMA_EXAMPLES={EXAMPLES}:", *told])


def run(url: str, schema: dict[str, Any], known: dict[str, list[Any]], *, who: str, after: Callable[[], None]) -> Run:
    """Ask a site each operation of `schema`, as the user `who` (the password is the name), or "" for nobody.

    `known` has keys of objects that are there, by the names of parameters. `after` is called after each operation.
    """
    loaded = openapi.from_dict(schema, config=SchemathesisConfig.from_dict(_config(url, known, who)))
    done = Run()
    for event in engine.from_schema(loaded).execute():
        match event:
            case events.ScenarioFinished():
                _note(done, event)
                after()
            case events.NonFatalError():
                done.problems[event.label, "error"] = str(event.value)
            case events.FatalError():
                raise event.exception
    return done


def _config(url: str, known: dict[str, list[Any]], who: str) -> dict[str, Any]:
    names = {name: name.rpartition(".")[2] for name in known}
    examples = EXAMPLES if who == "operator" else max(1, EXAMPLES // 4)  # the others are refused, whatever they ask
    return {
        "seed": SEED,
        "base-url": url,
        "continue-on-failure": True,
        "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
        "phases": {
            "stateful": OFF,
            # Each value that the schema names; an operator alone gets so far that they matter.
            "coverage": {"enabled": who == "operator", "generation": {"mode": "positive"}},
        },
        "checks": CHECKS,
        "dictionaries": {names[name]: {"values": values} for name, values in known.items()},
        "parameters": {name: {"dictionary": names[name], "probability": 0.7} for name in known},
        **({"auth": {"basic": {"username": who, "password": who}}} if who else {}),
    }


def _note(done: Run, event: events.ScenarioFinished) -> None:
    label, recorder = event.recorder.label, event.recorder
    answers = (interaction.response for interaction in recorder.interactions.values())
    done.statuses.setdefault(label, set()).update(answer.status_code for answer in answers if answer is not None)
    for title, what in _failures(recorder):
        done.problems.setdefault((label, title), what)


def _failures(recorder: Any) -> Iterator[tuple[str, str]]:
    for check in (check for checks in recorder.checks.values() for check in checks):
        if check.status != engine.Status.SUCCESS and check.failure_info:
            found = check.failure_info
            yield found.failure.title, f"{found.failure.message}\n{found.code_sample}"
