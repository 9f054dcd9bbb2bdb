"""A process that uses a provider's quotas as fast as it may, as a worker does.

`python -m tests.integration.quota_taker` and its arguments, as JSON: `window` (seconds), `provider` (one entry of
EMBEDDING_PROVIDERS), `tokens` (the least and the most of a request), `seconds` (how long), `send` (whether to send
requests, too), `seed`. It says "ready", waits for a line, works, and prints [(time.monotonic(), tokens)] of what it was
allowed.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any

import django


def main(window: int, provider: dict[str, Any], tokens: tuple[int, int], seconds: float, send: bool, seed: int) -> None:
    from django.conf import settings

    settings.EMBEDDING_PROVIDERS = {"default": provider}
    from embeddings import quotas
    from embeddings.exceptions import RateLimited
    from embeddings.providers import get_provider
    from embeddings.quotas import waits

    waits.WINDOW_SECONDS = window
    chance = random.Random(seed)
    found = get_provider("default")
    found.prepare()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()

    allowed = []
    end = time.monotonic() + seconds
    wanted = chance.randint(*tokens)
    while time.monotonic() < end:
        if wait := quotas.take(found, wanted):
            time.sleep(max(0.0, min(wait, end - time.monotonic())))
            continue
        allowed.append((time.monotonic(), wanted))
        if send:
            try:
                found.embed(["four" * wanted])
            except RateLimited as exc:
                time.sleep(exc.retry_after or 0)
        wanted = chance.randint(*tokens)
    sys.stdout.write(json.dumps(allowed))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    main(**json.loads(sys.argv[1]))
