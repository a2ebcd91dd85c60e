"""The listening socket, and the limit of open files."""

from __future__ import annotations

import resource
import socket

from sanic_dispatch.errors import PortUnavailable

LOOPBACK = "127.0.0.1"
"""Where the processes of one service reach each other."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket; without a host on all interfaces, IPv6 and IPv4 in one.

    Its connections send each write at once, and do not hold it back until the one before is
    acknowledged: uvloop sees to that, and asyncio only where it makes the socket itself. Raises
    PortUnavailable.
    """
    try:
        if not host and socket.has_dualstack_ipv6():
            sock = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        reason = reason.partition(" (while attempting")[0]  # the error names host and port itself
        raise PortUnavailable(host, port, reason) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def allow_open_files() -> None:
    """Raise the soft limit of open files to the hard limit: each client takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
