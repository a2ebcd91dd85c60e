"""A simulated engine whose callbacks can be reached from another machine."""

from __future__ import annotations

import socket
from contextlib import suppress

from aiohttp import web
from yarl import URL

from sanic_dispatch.simulation.engine import Engine

LOCAL = "127.0.0.1"


class OutsideEngine(Engine):
    """Listens on loopback and on ``host``; its callback URLs have ``host``."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host

    @property
    def base_url(self) -> str:
        """The engine's URL for other machines, with a slash at the end."""
        return f"http://{self.host}:{self.port}/"

    async def up(self) -> None:
        """Listen on loopback, then on ``host`` with the same port."""
        await super().up()
        if self.host != LOCAL and self._runner is not None:
            with suppress(OSError):  # ``host`` may be another name of loopback
                await web.TCPSite(self._runner, self.host, self.port).start()


def address_towards(url: str) -> str:
    """Return this machine's IPv4 address as a service sees it; loopback if there is no route."""
    target = URL(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(
            (target.host or LOCAL, target.port or 80)
        )  # UDP: sets the route, sends nothing
        return str(probe.getsockname()[0])
    return LOCAL
