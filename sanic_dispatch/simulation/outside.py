"""A simulated engine whose callbacks can be reached from another machine."""

from __future__ import annotations

import socket
from contextlib import suppress

from aiohttp import web
from yarl import URL

from sanic_dispatch.simulation.engine import Engine

LOCAL = "127.0.0.1"


class OutsideEngine(Engine):
    """Listens on loopback and at ``host``, and calls itself by ``host`` in every callback."""

    def __init__(self, host: str, port: int = 0) -> None:
        super().__init__(port=port)
        self.host = host

    @property
    def base_url(self) -> str:
        """Where others reach it, with a slash at the end."""
        return f"http://{self.host}:{self.port}/"

    async def up(self) -> None:
        """Listen there too, on the port that the engine has."""
        await super().up()
        if self.host != LOCAL and self._runner is not None:
            with suppress(OSError):  # this very machine under another name
                await web.TCPSite(self._runner, self.host, self.port).start()


def address_towards(url: str) -> str:
    """This machine's IPv4 address on the way to a service; loopback where there is no way."""
    target = URL(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((target.host or LOCAL, target.port or 80))  # sends nothing
        return str(probe.getsockname()[0])
    return LOCAL
