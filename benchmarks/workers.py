"""How much faster several workers are than one: `python -m benchmarks.workers`. Ratios, of rounds that take turns."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence


def main() -> int:
    options = _options()
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)
    speeds: dict[int, list[float]] = {count: [] for count in options.workers}
    for number in range(options.rounds):
        # There and back again: what slows the machine down for a while is not always the same one's loss.
        for count in options.workers if number % 2 == 0 else reversed(options.workers):
            speeds[count].append(_speed(count, options))
            _write(f"round {number + 1}: {count} workers, {speeds[count][-1]:,.0f} a second")
    _show(speeds)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="the first is compared with")
    parser.add_argument("--rows", type=int, default=1_000, help="objects that are embedded in each round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that the provider takes for a request")
    parser.add_argument("--batch", type=int, default=20, help="EMBEDDINGS['BATCH_SIZE']")
    parser.add_argument("--concurrency", type=int, default=1, help="EMBEDDINGS['CONCURRENCY']")
    return parser.parse_args()


def _speed(count: int, options: argparse.Namespace) -> float:
    """Objects a second, from their commit to the last vector, by so many workers that wait for work."""
    from django.conf import settings

    from benchmarks import crew
    from embeddings.models import EmbeddingTask, Status
    from project.content.models import Recommendation

    Recommendation.objects.all().delete()
    EmbeddingTask.objects.all().delete()
    sizes = {"BATCH_SIZE": options.batch, "CONCURRENCY": options.concurrency}
    timed = {**settings.EMBEDDING_PROVIDERS["second"], "OPTIONS": {"LATENCY_SECONDS": options.latency}}
    with crew.started(count, embeddings=sizes, providers={"default": timed}):
        made = [Recommendation(title=f"Advice {number}", text="Do one thing. " * 20) for number in range(options.rows)]
        Recommendation.objects.bulk_create(made)
        started = time.perf_counter()
        tasks = EmbeddingTask.objects.exclude(status=Status.COMPLETED)
        crew.wait_until(lambda: not tasks.exists(), 600.0, "all were embedded")
        return options.rows / (time.perf_counter() - started)


def _show(speeds: Mapping[int, Sequence[float]]) -> None:
    """The median of the rounds' ratios: each is compared with the first of its own round."""
    first, *_ = speeds.values()
    for count, measured in speeds.items():
        ratios = [speed / base for speed, base in zip(measured, first, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        speed = statistics.median(measured)
        _write(f"{count} workers: {statistics.median(ratios):.2f} times ({spread}), median {speed:,.0f} a second")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
