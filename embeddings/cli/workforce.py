"""Who works: `workers`."""

from __future__ import annotations

from typing import Any

from embeddings import conf, stats
from embeddings.cli import wording
from embeddings.cli.report import DONE, NOT_DONE, Options, Report, Subcommand
from embeddings.cli.screen import Block, Screen, Table
from embeddings.models import WorkerStatus
from embeddings.stats import Workforce


def run(options: Options, screen: Screen) -> Report:
    """Those that are alive, those that fell silent, and those that only Redis knows."""
    force = stats.workforce()
    unknown = {worker.pk for worker in force.unknown_to_redis}
    data = {
        "alive": [_data(worker, is_known=worker.pk not in unknown) for worker in force.alive],
        "silent": [_data(worker, is_known=False) for worker in force.silent],
        "onlyInRedis": force.only_in_redis,
        "redis": force.queue is not None,
        "waitingMessages": force.queue.depth if force.queue else None,
    }
    is_missed = not force.alive and conf.current().queue_enabled
    blocks: list[Block] = [*_tables(force, unknown), *_notes(force, unknown)]
    if is_missed:
        blocks.append(f"No worker is alive. Start one: manage.py rqworker {conf.current().queue}")
    return Report(data, blocks or ["No worker is alive, and none is needed: the queue is off."], int(is_missed))


def _data(worker: WorkerStatus, *, is_known: bool) -> dict[str, Any]:
    return {
        "name": worker.name,
        "state": worker.state,
        "inHand": worker.claimed,
        "completed": worker.completed,
        "failed": worker.failed,
        "rateLimited": worker.rate_limited,
        "hostname": worker.hostname,
        "pid": worker.pid,
        "startedAt": worker.started_at,
        "heartbeatAt": worker.heartbeat_at,
        "isKnownToRedis": is_known,
        "lastError": worker.last_error,
    }


def _tables(force: Workforce, unknown: set[int]) -> list[Block]:
    rows = [_row(worker, _state(worker, worker.pk in unknown)) for worker in force.alive]
    rows += [_row(worker, "silent") for worker in force.silent]
    columns = ("worker", "state", "heard of", ">in hand", ">completed", ">failed", "host", ">pid", "started")
    return [Table(columns, rows, "Workers")] if rows else []


def _state(worker: WorkerStatus, is_unknown: bool) -> str:
    return f"{worker.state}, unknown to Redis" if is_unknown else worker.state


def _row(worker: WorkerStatus, state: str) -> tuple[str, ...]:
    return (
        worker.name,
        state,
        wording.ago(worker.heartbeat_at),
        f"{worker.claimed:,}",
        f"{worker.completed:,}",
        f"{worker.failed:,}",
        worker.hostname,
        str(worker.pid or wording.NONE),
        wording.ago(worker.started_at),
    )


def _notes(force: Workforce, unknown: set[int]) -> list[Block]:
    notes: list[Block] = []
    if force.silent:
        notes.append("Silent workers were killed, or cannot reach the database; others take over what they had.")
    if unknown:
        notes.append("Those unknown to Redis cannot reach it, or use another one: compare their RQ_QUEUES with yours.")
    if force.only_in_redis:
        names = ", ".join(force.only_in_redis)
        notes.append(f"Only Redis knows {names}: they cannot reach the database, or died a short time ago.")
    if force.queue is None and conf.current().queue_enabled:
        notes.append("Redis cannot be reached, so no new work starts. Start it, or look at RQ_QUEUES.")
    return notes


SUBCOMMANDS = [
    Subcommand(
        "workers",
        "Which workers live, what they hold and what they have done.",
        run,
        description=f"It exits with {NOT_DONE} if one is needed and none is alive, else with {DONE}.",
    )
]
