from __future__ import annotations

import socket

import pytest

from project.development import addresses, ports


@pytest.fixture
def taken():
    with socket.create_server((ports.LOOPBACK, ports.free_port())) as server:
        yield server.getsockname()[1]


def test_choose_port__free():
    port = ports.free_port()

    assert addresses.choose_port(port, explicit=True) == port


def test_choose_port__default_is_taken(taken):
    assert addresses.choose_port(taken, explicit=False) > taken


def test_choose_port__explicit_is_taken(taken):
    with pytest.raises(addresses.PortError, match=rf"Port {taken} is in use: .*make up PORT={taken + 1}"):
        addresses.choose_port(taken, explicit=True)


def test_choose_port__does_not_exist():
    with pytest.raises(addresses.PortError, match="Port 70000 cannot be used"):
        addresses.choose_port(70000, explicit=True)


def test_answers__nobody_listens():
    assert addresses.answers(ports.free_port()) is False


def test_answers__any_status_counts(live_server):
    assert addresses.answers(live_server.thread.port) is True
