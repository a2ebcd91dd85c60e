"""The life cycle of the server: Sanic's, started and stopped in an order that loses nothing.

Start: open the queues, accept requests, announce the addresses. Stop: refuse new jobs and
workers, let deliveries finish or go back, tell the pages to reconnect, stop listening, close the
remaining connections, close the queues. Sanic's own runner is not used: it handles signals only
once it accepts requests, and waits for clients that never close.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from socket import socket
from ssl import SSLContext
from typing import Any

from sanic import Sanic

from sanic_dispatch.web.fast_path import FastPathProtocol

BACKLOG = 4096
"""Size of the accept queue: all pages may reconnect at once."""

CLOSE_GRACE_S = 0.4
"""How long clients may take to close their connections at the stop: first the followers of the live
channel, then the others."""

POLL_S = 0.02


@asynccontextmanager
async def serving(
    app: Sanic[Any, Any],
    sock: socket,
    tls: SSLContext | None = None,
    private: socket | None = None,
) -> AsyncIterator[None]:
    """Accept requests inside the block. Raises StartError if the server cannot start.

    ``private`` is another socket, for other processes of the service, without TLS.
    """
    # On a terminal Sanic would advise the users of this service to run Sanic in debug mode.
    os.environ["SANIC_IGNORE_PRODUCTION_WARNING"] = "on"
    server: Any = await app.create_server(
        sock=sock,
        ssl=tls,
        protocol=FastPathProtocol,
        backlog=BACKLOG,
        access_log=False,
        return_asyncio_server=True,
        asyncio_server_kwargs={"start_serving": False},
    )
    await server.startup()
    also = None
    try:
        await server.before_start()  # a topic that cannot be opened ends those before it, too
        if private is not None:
            also = await _serve_too(app, private, server.connections)
        await server.start_serving()
        await server.after_start()
        yield
    finally:
        await server.before_stop()
        if also is not None:
            also.close()
        await _close_connections(server)
        await server.after_stop()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a new event loop, and exit without waiting for DNS lookups in threads.

    The event loops' own shutdown would wait for these threads.
    """
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(work)
        loop.run_until_complete(_cancel_other_tasks())
    finally:
        loop.close()
    if threading.active_count() > 1:
        sys.stderr.flush()
        os._exit(0)


async def _serve_too(
    app: Sanic[Any, Any], sock: socket, connections: set[Any]
) -> asyncio.AbstractServer:
    """Accept requests on another socket; the connections are closed with the others."""
    loop, config = asyncio.get_running_loop(), app.config
    factory = partial(
        FastPathProtocol,
        loop=loop,
        app=app,
        connections=connections,
        websocket_max_size=config.WEBSOCKET_MAX_SIZE,
        websocket_ping_timeout=config.WEBSOCKET_PING_TIMEOUT,
        websocket_ping_interval=config.WEBSOCKET_PING_INTERVAL,
    )
    return await loop.create_server(factory, sock=sock, backlog=BACKLOG)


async def _close_connections(server: Any) -> None:
    """Stop listening; close each connection once it is idle, and abort the rest after the grace."""
    server.close()
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + CLOSE_GRACE_S
    while server.connections and loop.time() < deadline_s:
        for connection in list(server.connections):
            connection.close_if_idle()
        await asyncio.sleep(POLL_S)
    for connection in list(server.connections):
        if connection.transport is not None:
            connection.transport.abort()


async def _cancel_other_tasks() -> None:
    """Cancel the tasks of connections that were aborted."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not available on this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
