"""The listening socket."""

from __future__ import annotations

import socket

import pytest

from sanic_dispatch.errors import PortUnavailable
from sanic_dispatch.server.sockets import LOOPBACK, listening_socket


def test_a_port_that_is_taken() -> None:
    """The error names host, port and reason, each once."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable) as caught:
            listening_socket(LOOPBACK, port)
    assert str(caught.value) == f"cannot listen on {LOOPBACK} port {port}: Address already in use"


@pytest.mark.parametrize("host", ["", LOOPBACK])
def test_small_writes_are_not_held_back(host: str) -> None:
    """Else the second of two would wait 40 ms for the first to be acknowledged."""
    with listening_socket(host, 0) as sock:
        address = (LOOPBACK, sock.getsockname()[1])
        with socket.create_connection(address), sock.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
