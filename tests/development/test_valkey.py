from __future__ import annotations

import pytest
import redis

from project.development.valkey import ValkeyServer


@pytest.fixture
def server(server_folder):
    with ValkeyServer(server_folder / "valkey") as server:
        yield server


def test_start__drops_no_keys_and_writes_no_files(server):
    with redis.Redis.from_url(server.url) as client:
        settings = {name: client.config_get(name)[name] for name in ("maxmemory-policy", "appendonly", "save")}

    assert settings == {"maxmemory-policy": "noeviction", "appendonly": "no", "save": ""}


def test_stop__ends_it(server):
    server.stop()

    assert not server.is_running()


def test_kill__starts_again_on_the_same_port(server):
    url = server.url

    server.kill()
    killed = not server.is_running()
    server.start()

    assert killed
    assert server.url == url
    with redis.Redis.from_url(url) as client:
        assert client.ping()


def test_start__two_folders_two_servers(server, server_folder):
    with ValkeyServer(server_folder / "other") as other:
        other.stop()

    assert server.is_running()
