from __future__ import annotations

import socket

import pytest

from project.development import ports


@pytest.fixture
def taken():
    with socket.create_server((ports.LOOPBACK, ports.free_port())) as server:
        yield server.getsockname()[1]


def test_is_free__taken(taken):
    assert ports.is_free(taken) is False


def test_is_free__just_closed():
    with socket.create_server((ports.LOOPBACK, ports.free_port())) as server:
        port = server.getsockname()[1]
        with socket.create_connection((ports.LOOPBACK, port)):
            server.accept()[0].close()

    assert ports.is_free(port) is True


def test_free_port__server_can_listen():
    port = ports.free_port()

    with socket.create_server((ports.LOOPBACK, port)) as server:
        assert server.getsockname()[1] == port


def test_next_free_port__skips_taken(taken):
    assert ports.next_free_port(taken) > taken
