"""Many clients at once: each sends one request on a connection of its own, and all wait for their answers together."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from collections.abc import Iterable
from typing import Any

from benchmarks.site import Site
from project.development import ports


def post_all(site: Site, path: str, bodies: Iterable[Any]) -> Counter[int]:
    """Connect for all, then send all at once; how many answers had which status. All are in flight until answered."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket for each
    requests = [_request(site, path, json.dumps(body).encode()) for body in bodies]
    return asyncio.run(_post_all(site.port, requests))


def _request(site: Site, path: str, body: bytes) -> bytes:
    headers = {"Host": ports.LOOPBACK, "Connection": "close", "Content-Length": str(len(body)), **site.headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _post_all(port: int, requests: list[bytes]) -> Counter[int]:
    connections = await asyncio.gather(*(asyncio.open_connection(ports.LOOPBACK, port) for _ in requests))
    answers = (_answer(*connection, request) for connection, request in zip(connections, requests, strict=True))
    return Counter(await asyncio.gather(*answers))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Its status; 0 for none."""
    writer.write(request)
    content = await reader.read()
    writer.close()
    return int(content.split(b" ", 2)[1]) if content else 0
