"""Addresses that may never be called, not even if they are on the allow list."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

KINDS = ("unspecified", "link_local", "multicast", "reserved")
"""Properties, in the standard library's words, of addresses that may never be called."""

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_PROTOCOL_ASSIGNMENTS = IPv4Network("192.0.0.0/24")
"""Not for the internet, but ``is_global`` of Python 3.11.7 and 3.12.1 is true for most of it."""
_NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("fec0::/10", "site-local, which no longer exists"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("192.0.0.192", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("fd20:ce::254", "a cloud's metadata service"),
    )
)
"""Networks that may never be called and are not covered by these properties."""


CACHED_ADDRESSES = 256
"""How many checked addresses the caches keep: workers come from few engines."""


@lru_cache(maxsize=CACHED_ADDRESSES)
def read_address(text: str) -> Address:
    """Return the address that would be reached. Raises ValueError if the text is not an address.

    An IPv4-mapped or NAT64 address is unwrapped to its IPv4 address.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return _low_bits(address)
    return address


@lru_cache(maxsize=CACHED_ADDRESSES)
def why_never(text: str) -> str | None:
    """Return why this address may never be called, or None.

    Loopback and private addresses may be called, since engines run there, but not if they are
    embedded in a public address: NAT64, 6to4, Teredo.
    """
    address = read_address(text)
    hidden = _hidden(ip_address(text))
    if any(_is_local(inner) or _why_by_kind(inner) for inner in hidden):
        return "an inner address hidden in an outer one"
    return _why_by_kind(address)


def _is_local(address: IPv4Address) -> bool:
    return not address.is_global or address in _PROTOCOL_ASSIGNMENTS


def _why_by_kind(address: Address) -> str | None:
    if address.is_loopback:  # ::1 counts as reserved in the standard library
        return None
    for word in KINDS:
        if getattr(address, f"is_{word}"):
            return word.replace("_", "-")
    return next((reason for network, reason in _NEVER if address in network), None)


def _hidden(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses embedded in an IPv6 address."""
    if not isinstance(address, IPv6Address):
        return []
    found = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (address in _COMPATIBLE and not address.is_loopback):
        found.append(_low_bits(address))
    return [inner for inner in found if inner is not None]


def _low_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
