"""A worker's websocket: requests with replies, and a session that outlives a lost connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import ujson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from yarl import URL

from sanic_dispatch.client.answers import TEMPORARY, ServiceError
from sanic_dispatch.client.channel import ChannelLost, Lost, delay_s, raising_channel_lost
from sanic_dispatch.client.dispatch_client import to_json
from sanic_dispatch.clock import Clock
from sanic_dispatch.live import close_codes

PING_EVERY_S = 5.0
"""How often to ping the service, and how long it has to answer before the connection is dead."""

WELCOME_S = 10.0
"""How long the service has to greet a new connection."""

GOODBYE_S = 2.0
"""How long a worker that leaves waits for the service to take note."""

MAX_MESSAGE_BYTES = 16 * 2**20

MAX_SENT_BYTES = 64 * 1024
"""The largest message that the service reads."""


class TurnedAway(ServiceError):
    """The service has closed the connection for good, or did not open it."""


OnMessage = Callable[[str, Mapping[str, Any]], None]
"""Called with the name and the members of each message that is not a reply."""


LastWord = Callable[[], "tuple[str, Mapping[str, Any]] | None"]
"""Returns the message with which a worker leaves, if it has one."""


class WorkChannel:
    """Connects to ``/work``, and connects again whenever the connection is lost.

    When ``run`` is cancelled, it sends the ``last_word``. ``on_message`` also gets ``welcome``,
    whose ``resumed`` says whether the session before went on. ``on_lost`` is called after each
    loss.
    """

    def __init__(
        self,
        url: URL,
        headers: Mapping[str, str],
        on_message: OnMessage,
        last_word: LastWord,
        on_lost: Callable[[Lost], None] | None,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._url = url.with_scheme("wss" if url.scheme == "https" else "ws")
        self._headers = headers
        self._on_message = on_message
        self._last_word = last_word
        self._on_lost = on_lost
        self._clock = clock
        self._random = rng
        self._session = ""
        self._socket: ClientConnection | None = None
        self._is_settled = asyncio.Event()
        """Set while there is a connection, and at the end."""
        self.end: Exception | None = None
        """Why it will not connect any more."""
        self._numbers = count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._attempt = 0

    @property
    def is_connected(self) -> bool:
        """Whether the service has greeted this connection."""
        return self._socket is not None

    async def run(self) -> None:
        """Stay connected until cancelled, or until the service refuses the worker for good."""
        while self.end is None:
            try:
                await self._converse()
            except ChannelLost as lost:
                if close_codes.is_final(lost.code):
                    status = close_codes.status_of(lost.code)
                    self._finish(TurnedAway(status, detail=lost.reason))
                else:
                    await self._pause(lost)
            except Exception as error:
                self._finish(error)

    async def connected(self) -> None:
        """Return once there is a connection. Raises ServiceError if there will be none."""
        await self._is_settled.wait()
        if self.end is not None:
            raise self.end

    async def ask(self, kind: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message over the connection, once there is one, and return its ``ok``.

        Raises ServiceError for an ``error``, and for a message that is too large to be sent (413),
        or is not JSON (400), and ChannelLost if it is not known whether the message arrived.
        """
        number = next(self._numbers)
        message = _encoded({kind: members, "ref": number})
        await self.connected()
        assert self._socket
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            with raising_channel_lost():
                await self._socket.send(message)
            return await reply
        finally:
            del self._replies[number]
            reply.cancel()  # if it failed too, while the message was sent, that is not logged

    async def ask_until_answered(self, kind: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message that may arrive twice, until there is an answer.

        Raises ServiceError for an ``error`` that would be the same the next time.
        """
        attempt = 0
        while True:
            try:
                return await self.ask(kind, members)
            except ChannelLost:
                await asyncio.sleep(0)  # ``run`` may not have noticed the loss yet
            except ServiceError as error:
                if not is_temporary(error):
                    raise
                await self._clock.sleep(delay_s(attempt, self._random.random()))
                attempt += 1

    async def _converse(self) -> None:
        """Connect, and take messages until the connection is lost. Raises ChannelLost."""
        query = {"session": self._session} if self._session else {}
        connection = connect(
            str(self._url.with_query(query)),
            additional_headers=self._headers,
            compression=None,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=1,
            max_size=MAX_MESSAGE_BYTES,
            proxy=None,  # as aiohttp, which sends requests: none of the environment
        )
        try:
            with raising_channel_lost():
                async with connection as socket:
                    await self._greet(socket)
                    try:
                        while True:
                            self._take(ujson.loads(await socket.recv()))
                    except asyncio.CancelledError:
                        await self._say_goodbye(socket)
                        raise
        finally:
            self._socket = None
            self._is_settled.clear()
            self._give_up_replies(ChannelLost("the connection was lost"))

    async def _say_goodbye(self, socket: ClientConnection) -> None:
        """Say the last word, and wait until the service has heard it; not if that takes long."""
        word = self._last_word()
        if word is None:
            return
        with suppress(TimeoutError, WebSocketException, OSError):
            async with asyncio.timeout(GOODBYE_S):
                kind, members = word
                await socket.send(ujson.dumps({kind: members, "ref": 0}))
                while ujson.loads(await socket.recv()).get("ref") != 0:
                    pass

    async def _greet(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.timeout(WELCOME_S):
                welcome = ujson.loads(await socket.recv())["welcome"]
        except TimeoutError:
            raise ChannelLost(f"silent for {WELCOME_S:g} s") from None
        resumed = welcome["session"] == self._session
        self._session, self._socket, self._attempt = welcome["session"], socket, 0
        self._on_message("welcome", {**welcome, "resumed": resumed})
        self._is_settled.set()

    def _take(self, message: dict[str, Any]) -> None:
        reply = self._replies.get(message.pop("ref", 0))
        [(kind, members)] = message.items()
        if reply is None:
            self._on_message(kind, members)
        elif reply.done():
            return  # whoever asked was cancelled
        elif kind == "ok":
            reply.set_result(members)
        else:
            status, word = members.get("status", 500), members.get("Error", "")
            reply.set_exception(ServiceError(status, word, members.get("detail", "")))

    async def _pause(self, lost: ChannelLost) -> None:
        pause_s = delay_s(self._attempt, self._random.random())
        self._attempt += 1
        if self._on_lost:
            self._on_lost(Lost(lost.reason, pause_s))
        await self._clock.sleep(pause_s)

    def _finish(self, error: Exception) -> None:
        self.end = error
        self._give_up_replies(error)
        self._is_settled.set()
        self._on_message("end", {})

    def _give_up_replies(self, error: Exception) -> None:
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(error)


def _encoded(message: Mapping[str, Any]) -> str:
    """Return a message as JSON. Raises ServiceError for what the service would not read.

    Of what is not JSON the service could not tell to which message it replies.
    """
    data = to_json(message)
    if len(data) > MAX_SENT_BYTES:
        raise ServiceError(413, "TooLarge", f"a message may have {MAX_SENT_BYTES} bytes")
    return data.decode()


def is_temporary(error: ServiceError) -> bool:
    """Whether the same message may succeed later."""
    return error.status >= 500 or error.status in TEMPORARY
