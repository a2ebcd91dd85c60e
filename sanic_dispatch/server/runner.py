"""The life of the server: Sanic's own, begun and ended in an order in which nothing is lost.

Begin: open the queues, then take requests, then say so. End: take no new jobs and workers, let
deliveries finish or go back, stop listening, tell the pages to come back, close what is left,
close the queues. Sanic's own runner listens for signals only after it takes requests, and waits
for clients that never close; so it is not used.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from socket import socket
from ssl import SSLContext
from typing import Any

from sanic import Sanic

from sanic_dispatch.web.short_way import ShortWayProtocol

BACKLOG = 4096
"""Connections that may wait to be accepted: a whole bar may come back at once."""

FAREWELL_S = 0.4
"""How long clients may take to close their connections when the service stops: first those that
follow, then the others."""

LOOK_S = 0.02


@asynccontextmanager
async def serving(
    app: Sanic[Any, Any], sock: socket, tls: SSLContext | None = None
) -> AsyncIterator[None]:
    """Take requests inside the block. Raises StartError where it cannot begin."""
    server: Any = await app.create_server(
        sock=sock,
        ssl=tls,
        protocol=ShortWayProtocol,
        backlog=BACKLOG,
        access_log=False,
        return_asyncio_server=True,
        asyncio_server_kwargs={"start_serving": False},
    )
    await server.startup()
    await server.before_start()
    try:
        await server.start_serving()
        await server.after_start()
        yield
    finally:
        await server.before_stop()
        await _part(server)
        await server.after_stop()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, in a loop of its own, and wait for no thread that still asks a name server.

    The event loops' own ways to end do wait, for as long as that takes.
    """
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(work)
        loop.run_until_complete(_end_others())
    finally:
        loop.close()
    if threading.active_count() > 1:
        sys.stderr.flush()
        os._exit(0)


async def _part(server: Any) -> None:
    """Listen no more; close every connection as soon as it is idle, and all of them in the end."""
    server.close()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + FAREWELL_S
    while server.connections and loop.time() < until_s:
        for connection in list(server.connections):
            connection.close_if_idle()
        await asyncio.sleep(LOOK_S)
    for connection in list(server.connections):
        if connection.transport is not None:
            connection.transport.abort()


async def _end_others() -> None:
    """End the tasks of connections that were cut."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
