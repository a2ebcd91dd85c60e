"""The client's address, behind trusted proxies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import cast

from sanic_dispatch.callbacks.never_called import Address
from sanic_dispatch.web.context import Call, context_of


class Proxies:
    """The networks whose X-Forwarded headers are trusted."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def client_of(self, request: Call) -> str:
        """Return the address of the last hop that is not a trusted proxy."""
        client = _read(request.ip)
        if client is None:
            return "unknown"
        for address in _forwarded(request):
            if not self._trusts(client) or address is None:
                break
            client = address
        return str(client)

    def host_of(self, request: Call) -> str:
        """Return the host that the client asked for; a trusted proxy passes it in a header."""
        peer = _read(request.ip)
        forwarded = request.headers.get("x-forwarded-host", "")
        if forwarded and peer is not None and self._trusts(peer):
            return forwarded.rpartition(",")[2].strip()
        return cast(str, request.headers.get("host", ""))

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def client_of(request: Call) -> str:
    """Return the client's address, behind the app's trusted proxies."""
    return context_of(request).proxies.client_of(request)


def network_of(address: str) -> str:
    """Return the network of one household: an IPv4 address, or the /64 of an IPv6 address."""
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


def _forwarded(request: Call) -> Iterator[Address | None]:
    """Yield the hops of X-Forwarded-For, the last one first; None for what is not an address."""
    for hop in reversed(",".join(request.headers.getall("x-forwarded-for", [])).split(",")):
        yield _read(hop.strip())


def _read(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
