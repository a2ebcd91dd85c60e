"""Ports of this machine."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

FIRST, END = 20_000, 32_000
"""Below the ports that Linux gives to connections, and to servers that ask for any: from 32768 on.

Else one of them would get a port between its choice and its use, or while a server restarts.
"""


def _ours() -> Iterator[int]:
    """Yield the ports of this process of pytest-xdist, one after the other, from a random one on.

    Another run of the tests on this machine begins elsewhere.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (END - FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    begin = random.SystemRandom().randrange(size)
    for each in count(begin):
        yield FIRST + number * size + each % size


_PORTS = _ours()


def free_port() -> int:
    """Return a port that nobody uses, and that no other test is given."""
    for port in _PORTS:
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("they never end")
