"""The address guard: which callbacks and webhooks may be called.

A URL is checked before its host name is resolved, and each address that the name resolves to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network

from sanic_dispatch.callbacks.never_called import (
    CACHED_ADDRESSES,
    KINDS,
    Address,
    Network,
    read_address,
    why_never,
)
from sanic_dispatch.callbacks.url import NAME, Target, split_url
from sanic_dispatch.errors import CallbackForbidden, SettingsError

_ENTRY = re.compile(r"(?P<where>\[[^\]]*\](/\d+)?|[^:]+)(:(?P<port>\d{1,5}))?")
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?")


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry of the allow list: a name or a network, on one port, or on any if it is None."""

    name: str | None
    network: Network | None
    port: int | None

    @classmethod
    def parse(cls, entry: str) -> Allowed:
        """Parse ``HOST[:PORT]`` or ``CIDR[:PORT]``; IPv6 with a port needs brackets.

        Raises SettingsError for anything else. A cloud's metadata service is accepted as an entry,
        and then never allowed.
        """
        match = _ENTRY.fullmatch(entry)  # none for a bare IPv6 address, which is taken whole
        where = re.sub(r"[\[\]]", "", match["where"]) if match else entry
        port = int(match["port"]) if match and match["port"] else None
        if port is not None and not 0 < port < 65536:
            raise SettingsError(f"{entry!r}: the port is not between 1 and 65535")
        try:
            network = ip_network(where, strict=False)
        except ValueError:
            if not NAME.fullmatch(where) or _ENDS_IN_A_NUMBER.fullmatch(where):
                raise SettingsError(f"{entry!r} is neither HOST[:PORT] nor CIDR[:PORT]") from None
            return cls(_normalized_name(where), None, port)
        # The standard library counts ::1 as reserved: loopback addresses may be called.
        if not network.is_loopback and any(getattr(network, f"is_{word}") for word in KINDS):
            raise SettingsError(f"{entry!r} is among those that may never be called")
        return cls(None, network, port)

    def may_cover(self, host: str, port: int) -> bool:
        """Whether a host may turn out to be allowed once its name is resolved."""
        return self._fits(port) and (
            self.network is not None or self.name == _normalized_name(host)
        )

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Whether this address of this host is allowed."""
        if not self._fits(port):
            return False
        if self.network is None:
            return self.name == _normalized_name(host)
        return address in self.network

    def _fits(self, port: int) -> bool:
        return self.port is None or self.port == port


class Guard:
    """Checks which URLs and addresses may be called, without any I/O.

    Link-local, multicast, unspecified and reserved addresses and the metadata services of clouds
    may never be called. Any other address may be called if there is no allow list, or if the list
    has it. With ``public_only`` the list is of exceptions: public addresses may be called, and
    others if the list has them.
    """

    def __init__(self, allow: Sequence[str] = (), *, public_only: bool = False) -> None:
        """``allow`` has entries ``HOST|CIDR[:PORT]``. Raises SettingsError for anything else."""
        self._allow = tuple(Allowed.parse(entry) for entry in allow)
        self._public_only = public_only

    def check_url(self, url: str) -> None:
        """Check a URL without resolving its name. Raises CallbackForbidden with the reason."""
        try:
            target = split_url(url)
        except ValueError as error:
            raise CallbackForbidden(str(error)) from error
        if target.scheme not in ("http", "https"):
            raise CallbackForbidden("only http and https may be called")
        if target.userinfo:
            raise CallbackForbidden("a URL with a user name may not be called")
        if is_address(target.host):
            address = target.host
            self.check_address(target.host, address, target.port)
        elif self._allow and not self._public_only and not self._may_cover(target):
            raise CallbackForbidden("not on the list of what may be called")

    def check_address(self, host: str, ip: str, port: int) -> None:
        """Check the address ``ip`` that ``host`` was resolved to. Raises CallbackForbidden.

        Also for an odd spelling, which others may read as another address.
        """
        try:
            reason, address = why_never(ip), read_address(ip)
        except ValueError:
            raise CallbackForbidden("an address in an odd spelling") from None
        if reason is not None:
            raise CallbackForbidden(f"the address is {reason}")
        is_listed = any(entry.covers(host, address, port) for entry in self._allow)
        if self._public_only and not (is_listed or address.is_global):
            raise CallbackForbidden("the address is not public")
        if self._allow and not (is_listed or self._public_only):
            raise CallbackForbidden("not on the list of what may be called")

    def _may_cover(self, target: Target) -> bool:
        return any(entry.may_cover(target.host, target.port) for entry in self._allow)


@lru_cache(maxsize=CACHED_ADDRESSES)
def is_address(host: str) -> bool:
    """Whether a host is an address, not a name; it may be one in an odd spelling.

    Some resolvers take a name that ends in a number for an address (``127.1``, ``0x7f000001``).
    """
    return ":" in host or _ENDS_IN_A_NUMBER.fullmatch(host) is not None


def _normalized_name(name: str) -> str:
    return name.lower().removesuffix(".")
