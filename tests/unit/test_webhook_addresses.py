"""No webhook leads a worker into the networks behind it."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import Any

import pytest

from embeddings.exceptions import AddressRefused
from embeddings.webhooks import addresses, sending

PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.9.10",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # compatible with IPv4
    "::ffff:127.0.0.1",  # mapped
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_is_public__of_hosts_on_the_internet(address):
    assert addresses.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_is_public__of_no_other(address):
    assert not addresses.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks?a=b", "http://example.com:8080", "https://8.8.8.8/", "https://xn--bcher-kva.de/"]
)
def test_check__takes_public_ones(url):
    assert addresses.check(url).hostname


@pytest.mark.parametrize("address", PRIVATE)
def test_check__refuses_literal_addresses(address):
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(AddressRefused, match="not public"):
        addresses.check(f"http://{host}/")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://example.com/", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("gopher://example.com/", "must begin with"),
        ("//example.com/", "must begin with"),
        ("example.com", "must begin with"),
        ("http://", "no name of a host"),
        ("http:///path", "no name of a host"),
        ("https://user:password@example.com/", "Leave the user"),
        ("https://example.com@127.0.0.1/", "Leave the user"),
        ("https://@example.com/", "Leave the user"),
        ("https://example.com/#fragment", "follows the #"),
        ("https://example.com:0/", "no port 0"),
        ("https://example.com:99999/", "no address"),
        ("https://[::1/", "no address"),
        ("https://[fe80::1%25eth0]/", "interface|no name of a host|no address"),
        ("https://[fe80::1%eth0]/", "interface|no name of a host|no address"),
        ("http://2130706433/", "is a number"),
        ("http://0x7f000001/", "is a number"),
        ("http://0x7f.0.0.1/", "is a number"),
        ("http://017700000001/", "is a number"),
        ("http://127.1/", "is a number"),
        ("http://0177.0.0.1/", "is a number"),
        ("http://1.2.3.4.5/", "is a number"),
        ("http://127.0.0.1./", "dot at the end"),
        ("http://example.com./", "dot at the end"),
        ("http://localhost/", "own network"),
        ("http://db/", "own network"),
        ("http://api.internal/", "own network"),
        ("http://a.localhost/", "own network"),
        ("http://exa mple.com/", "characters"),
        ("http://example.com\\@127.0.0.1/", "characters"),
        ("http://example.com/\r\nHost: x", "characters"),
        ("http://①②⑦.0.0.1/", "characters"),
        ("http://127。0。0。1/", "characters"),
        ("http://%31%32%37.0.0.1/", "no name of a host"),
    ],
)
def test_check__refuses_what_hides_an_address(url, sentence):
    with pytest.raises(AddressRefused, match=sentence):
        addresses.check(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://receiver:8000/", "http://[::1]/"])
def test_check__takes_private_ones_where_the_settings_say_so(settings, url):
    settings.EMBEDDINGS = {"WEBHOOK_PRIVATE_ADDRESSES": True}

    assert addresses.check(url).hostname


class Names:
    """A resolver that has an answer for each time it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0
        monkeypatch.setattr(addresses.socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, **options: Any) -> list[Any]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700:4700::1111", "::1"], ["fe80::1"]]
)
def test_resolve__refuses_a_name_with_one_address_that_is_not_public(monkeypatch, found):
    Names(monkeypatch, found)

    with pytest.raises(AddressRefused, match="not public"):
        addresses.resolve("example.com", 443, seconds=1)


def test_resolve__takes_all_public_ones(monkeypatch):
    Names(monkeypatch, PUBLIC)

    assert addresses.resolve("example.com", 443, seconds=1) == PUBLIC


def test_resolve__does_not_wait_for_a_dead_resolver(monkeypatch):
    def never(*args: object, **options: object) -> list[Any]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(addresses.socket, "getaddrinfo", never)

    with pytest.raises(OSError, match="not resolved in time"):
        addresses.resolve("example.com", 443, seconds=0.05)


def test_send__connects_to_the_address_that_was_checked(monkeypatch):
    """A name that is public when it is looked up, and leads home the next time, is looked up once."""
    names = Names(monkeypatch, ["192.0.2.1"], ["127.0.0.1"])
    monkeypatch.setattr(addresses, "is_public", lambda address: str(address) == "192.0.2.1")
    connected: list[str] = []

    def connect(address: tuple[str, int], *args: object, **options: object) -> Any:
        connected.append(address[0])
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)

    result = sending.send("http://example.com/", "msg_1", MESSAGE, [SECRET], seconds=1)

    assert connected == ["192.0.2.1"]
    assert names.asked == 1
    assert result.error.startswith("No connection")


def test_send__refuses_what_was_public_when_it_was_saved(monkeypatch):
    Names(monkeypatch, ["127.0.0.1"])
    connected: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *rest, **options: connected.append(address))

    result = sending.send("http://example.com/", "msg_1", MESSAGE, [SECRET], seconds=1)

    assert "not public" in result.error
    assert connected == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_send__asks_no_proxy(monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    Names(monkeypatch, ["8.8.8.8"])
    connected: list[str] = []

    def connect(address: tuple[str, int], *args: object, **options: object) -> Any:
        connected.append(address[0])
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)

    sending.send("http://example.com/", "msg_1", MESSAGE, [SECRET], seconds=1)

    assert connected == ["8.8.8.8"]


MESSAGE = {"type": "webhook.test", "timestamp": "2030-01-31T18:00:00+00:00", "data": {}}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
