"""Where webhooks may be sent: an operator's address must not lead a worker into the networks behind it."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from embeddings import conf
from embeddings.exceptions import AddressRefused

# What is not reachable from everywhere, by the IANA's special-purpose registries, with multicast and reserved space.
_NOT_PUBLIC = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
# All else of IPv6 is local, multicast, reserved, or holds an IPv4 address (mapped, compatible, NAT64).
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
# Of it: protocol assignments with Teredo, documentation, 6to4.
_NOT_PUBLIC_V6 = [
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]

# A label of a name; nothing that a resolver may take for a number (2130706433, 0x7f.1, 127.1).
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.I)
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.I)

OWN_NETWORK = 'Set EMBEDDINGS["WEBHOOK_PRIVATE_ADDRESSES"] to True if it is meant.'


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to a host on the Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def check(url: str) -> SplitResult:
    """The parts of an address to which webhooks may be sent, as far as can be said without looking up its host.

    Raises AddressRefused with one sentence that says what is wrong.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("The address has characters that do not belong there; write a name as xn--… if need be.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AddressRefused("This is no address: it should look like https://example.com/webhooks.") from None
    if parts.scheme not in {"http", "https"}:
        raise AddressRefused("The address must begin with https:// or http://.")
    if "@" in parts.netloc:
        raise AddressRefused("Leave the user and the password out: every message is signed, so none is needed.")
    if parts.fragment:
        raise AddressRefused("Leave out what follows the #: it is never sent.")
    if port == 0:
        raise AddressRefused("There is no port 0.")
    _check_host(host, is_bracketed="[" in parts.netloc)
    return parts


def _check_host(host: str, *, is_bracketed: bool) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _check_name(host, is_bracketed=is_bracketed)
        return
    if "%" in host:
        raise AddressRefused("The address names a network interface; leave out the % and what follows it.")
    _check_public(address, host)


def _check_name(host: str, *, is_bracketed: bool) -> None:
    labels = host.split(".")
    if host.endswith("."):
        raise AddressRefused("Leave out the dot at the end of the host's name.")
    if is_bracketed or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused(f"{host!r} is no name of a host.")
    if _NUMBER.fullmatch(labels[-1]):
        raise AddressRefused(f"{host!r} is a number; write the address as four numbers, such as 198.51.100.7.")
    is_local = len(labels) == 1 or labels[-1].lower() in {"localhost", "local", "internal"}
    if is_local and not conf.current().webhook_private_addresses:
        raise AddressRefused(f"{host!r} is a name in your own network, to which no webhooks are sent. {OWN_NETWORK}")


def resolve(host: str, port: int, *, seconds: float) -> Sequence[str]:
    """The numeric addresses of a host, of which every one may be sent to.

    Raises AddressRefused if one may not, OSError if the host has none or nobody says so in time.
    """
    found = _look_up(host, port, seconds)
    for address in found:
        _check_public(ipaddress.ip_address(address), host)
    return found


def _check_public(address: IPv4Address | IPv6Address, host: str) -> None:
    if not is_public(address) and not conf.current().webhook_private_addresses:
        leads = "is" if str(address) == host else f"leads to {address},"
        raise AddressRefused(f"{host} {leads} an address that is not public: no webhooks are sent there. {OWN_NETWORK}")


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """In a thread: a resolver that does not answer cannot be interrupted."""
    found: list[str] = []
    errors: list[OSError] = []

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(address[0]) for *_, address in rows))
        except (OSError, UnicodeError) as exc:
            errors.append(exc if isinstance(exc, OSError) else OSError(str(exc)))

    thread = threading.Thread(target=ask, daemon=True, name="embeddings-resolver")
    thread.start()
    thread.join(max(seconds, 0.01))
    if errors:
        raise errors[0]
    if not found:
        raise OSError(f"The name {host} was not resolved in time.")
    return found
