"""Send one message, signed by the Standard Webhooks scheme, and say how it went. No database, no redirects."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

from embeddings.exceptions import AddressRefused

USER_AGENT = "django-rq-embeddings-webhooks/1"
# Of an answer so many bytes are read, and so many characters of its body are kept.
MOST_READ, MOST_KEPT = 65_536, 200
# A receiver that asks for more patience is tried again after this.
MOST_PATIENCE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an attempt."""

    seconds: float
    # Of the answer; None if there was none.
    status: int | None = None
    # One sentence if it was not taken, "" if it was.
    error: str = ""
    # Seconds that the receiver asks to be left alone.
    retry_after: float | None = None

    @property
    def is_delivered(self) -> bool:
        return not self.error

    @property
    def is_gone(self) -> bool:
        """Whether the receiver never wants to hear of us again."""
        return self.status == 410


def body_of(payload: dict[str, Any]) -> bytes:
    """The bytes that are sent and signed. The database has keys in an order of its own."""
    ordered = {key: payload[key] for key in ("type", "timestamp", "data")}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(message_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> list[tuple[str, str]]:
    """With a signature by each of the secrets, the present one first."""
    from standardwebhooks import Webhook

    signatures = (Webhook(secret).sign(message_id, now, body.decode()) for secret in secrets)
    return [
        ("content-type", "application/json"),
        ("accept-encoding", "identity"),
        ("user-agent", USER_AGENT),
        ("webhook-id", message_id),
        ("webhook-timestamp", str(int(now.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    ]


def send(url: str, message_id: str, payload: dict[str, Any], secrets: Sequence[str], *, seconds: float) -> Result:
    """Post a message; all of it takes at most about `seconds`. Never raises what a receiver can cause."""
    import httpcore2

    from embeddings.webhooks import addresses

    started = time.monotonic()
    body = body_of(payload)
    try:
        addresses.check(url)
        headers = headers_of(message_id, body, secrets, datetime.now(UTC))
        status, answered, text = _post(url, headers, body, seconds)
    except AddressRefused as exc:
        return Result(time.monotonic() - started, error=str(exc))
    except httpcore2.TimeoutException:
        return Result(time.monotonic() - started, error=f"No answer within {seconds:g} s.")
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as exc:
        reason = " ".join(str(exc).split())[:MOST_KEPT] or type(exc).__name__
        return Result(time.monotonic() - started, error=f"No connection, or it broke: {reason}")
    return Result(time.monotonic() - started, status, _problem(status, text), _patience(status, answered))


def _post(url: str, headers: Sequence[tuple[str, str]], body: bytes, seconds: float) -> tuple[int, dict[str, str], str]:
    """The answer: its status, its headers, and the beginning of its body where that says what is wrong."""
    import httpcore2

    from embeddings.webhooks.network import CheckedBackend, Deadline

    backend = CheckedBackend(Deadline(seconds))
    with (
        httpcore2.ConnectionPool(ssl_context=_ssl_context(), network_backend=backend, retries=0) as pool,
        pool.stream("POST", url, headers=headers, content=body) as answer,
    ):
        # Who has answered 2xx has taken it, however slowly, or never, the rest of the answer comes.
        read = b"" if _is_taken(answer.status) else _beginning(answer.iter_stream())
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
    return answer.status, found, read.decode(errors="replace")


def _beginning(parts: Iterable[bytes]) -> bytes:
    read = b""
    for part in parts:
        read += part
        if len(read) >= MOST_READ:
            break
    return read


@cache
def _ssl_context() -> ssl.SSLContext:
    """Verifies certificates by the system's authorities."""
    return ssl.create_default_context()


def _is_taken(status: int) -> bool:
    return 200 <= status < 300


def _problem(status: int, text: str) -> str:
    if _is_taken(status):
        return ""
    if 300 <= status < 400:
        return f"Answered {status}: redirects are not followed; give the endpoint its final address."
    said = " ".join(text.replace("\0", "").split())[:MOST_KEPT]
    return f"Answered {status}{f': {said}' if said else '.'}"


def _patience(status: int, headers: dict[str, str]) -> float | None:
    """What `Retry-After` asks for, as seconds or as a date."""
    asked = headers.get("retry-after", "").strip()
    if status not in {429, 503} or not asked:
        return None
    try:
        seconds = float(asked) if asked.isdigit() else parsedate_to_datetime(asked).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MOST_PATIENCE_SECONDS)
