"""One connection to Redis, and the calls that share it: they are carried out in the order in which
they were made, and those that come while others are under way go together in the next piece.

A call that got no answer is tried again, in its place. Nobody knows whether it was carried out the
first time: it says that it comes again, and the scripts know what to make of that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError

from sanic_dispatch.errors import RedisUnusable, StorageFailed
from sanic_dispatch.redis_url import shown
from sanic_dispatch.tally import CommitTally

DEADLINE_S = 3.0
"""How long a call may take with all its tries."""

TRY_S = 1.4
"""How long one try may take: two of them fit in."""

PAUSE_S = 0.05
"""How long to wait before the next try."""

AT_ONCE = 256
"""How many calls go together in one piece."""

LOST = (TimeoutError, RedisError, OSError)
"""Nobody knows whether what was sent was done; also where a connection is refused for a while."""

SILENT = "it does not answer"


class Command(Protocol):
    """What is sent to Redis."""

    @property
    def is_change(self) -> bool:
        """Whether it may change something there."""

    def words(self, *, again: bool) -> Sequence[Any]:
        """The command; ``again`` where it may have been carried out already."""


@dataclass(slots=True, eq=False)
class _Call:
    command: Command
    answer: asyncio.Future[Any]
    until_s: float = field(default_factory=lambda: monotonic() + DEADLINE_S)
    again: bool = False
    is_open: bool = False
    """Whether it was sent and there is no answer: it may have been carried out."""


class Pipe:
    """Sends commands, and hands out the answers; it connects when it is first used."""

    def __init__(self, url: str, scripts: Sequence[str]) -> None:
        self._pool = pool_of(url, 1, TRY_S)
        self._scripts = scripts
        self._calls: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None
        self._trouble = SILENT
        """What the last piece broke on."""
        self.unanswered: Callable[[Command], None] = lambda command: None
        """Is told of a command that may have been carried out although its caller has given up."""
        self.tally = CommitTally()
        """What the changes took, those that went together as one."""

    async def call(self, command: Command) -> Any:
        """The answer to a command, which is carried out also if the caller is cancelled.

        Raises StorageFailed where there is none in time, and where Redis refuses it.
        """
        call = _Call(command, asyncio.get_running_loop().create_future())
        call.answer.add_done_callback(_look_at)
        self._calls.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        await asyncio.wait([call.answer], timeout=DEADLINE_S)
        if not call.answer.done():
            _fail(call, _unreachable(self._trouble))  # it is sent no more
        if call.is_open:
            self.unanswered(command)
        return call.answer.result()

    async def close(self) -> None:
        """Wait for what is under way, and hang up."""
        if self._sender is not None:
            await self._sender
        await self._pool.aclose()

    async def _send_all(self) -> None:
        try:
            while self._calls:
                piece, self._calls = self._calls[:AT_ONCE], self._calls[AT_ONCE:]
                await self._try(piece)
        finally:
            self._sender = None

    async def _try(self, piece: Sequence[_Call]) -> None:
        """Send a piece. What has to be tried again is put back; nothing else ends the sender."""
        began_s = monotonic()
        try:
            async with asyncio.timeout(TRY_S):
                await self._send(piece)
        except AuthenticationError as error:  # the next try would be refused too
            self.tally.failed()
            for call in piece:
                _fail(call, _unreachable(str(error)))
        except LOST as error:
            self.tally.failed()
            self._trouble = str(error) or SILENT
            self._calls[:0] = _left(piece, self._trouble)
            await asyncio.sleep(PAUSE_S)
        except Exception as error:  # it would break again: whoever waits is told at once
            self.tally.failed()
            for call in piece:
                _fail(call, StorageFailed(f"Redis: {error!r}"))
        else:
            self._trouble = SILENT
            if changes := sum(call.command.is_change for call in piece):
                self.tally.succeeded(changes, monotonic() - began_s)

    async def _send(self, piece: Sequence[_Call]) -> None:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            piece = [call for call in piece if not call.answer.done()]
            for call in piece:
                call.is_open = True
            words = [call.command.words(again=call.again) for call in piece]
            await connection.send_packed_command(connection.pack_commands(words))
            unknown = [call for call in piece if not await _answer(call, connection)]
            if unknown:
                await self._load(connection)
                self._calls[:0] = unknown
        except BaseException:
            await connection.disconnect(nowait=True)  # there may be answers on it that are old
            raise
        finally:
            await self._pool.release(connection)

    async def _load(self, connection: Any) -> None:
        """Redis has been started anew since: it has to be told the scripts."""
        for text in self._scripts:
            await connection.send_command("SCRIPT", "LOAD", text)
            await connection.read_response()


async def _answer(call: _Call, connection: Any) -> bool:
    """Hand out the answer to a call; False where Redis does not know its script."""
    try:
        answer = await connection.read_response()
    except NoScriptError:
        return False
    except ResponseError as error:
        call.is_open = call.again  # nothing came of this try
        _fail(call, StorageFailed(f"Redis: {error}"))
    else:
        call.is_open = False
        if not call.answer.done():
            call.answer.set_result(answer)
    return True


def _left(piece: Sequence[_Call], trouble: str) -> list[_Call]:
    """Those of a piece that broke which still have time; the others are told."""
    left = [call for call in piece if not call.answer.done()]
    for call in left:
        call.again = True
        if monotonic() >= call.until_s:
            _fail(call, _unreachable(trouble))
    return [call for call in left if not call.answer.done()]


def _fail(call: _Call, error: StorageFailed) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)


def _unreachable(trouble: str) -> StorageFailed:
    return StorageFailed(f"Redis cannot be reached: {trouble}")


def _look_at(answer: asyncio.Future[Any]) -> None:
    """Whoever gave up never looks: do not let asyncio complain of it."""
    if not answer.cancelled():
        answer.exception()


def pool_of(url: str, connections: int, timeout_s: float) -> BlockingConnectionPool:
    """Connections that give up soon, and try nothing again by themselves.

    Raises RedisUnusable where there are options in the address that cannot be.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=None,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **_kernel_options(url, timeout_s),
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # only looks at the options
    except (TypeError, ValueError) as error:
        raise RedisUnusable(shown(url), f"its address is wrong: {error}") from error
    return pool


def _kernel_options(url: str, timeout_s: float) -> dict[str, Any]:
    """Have the kernel give up when we do: else it brings what we sent long after it was looked for.

    It sends again, later and later each time, also what a connection that was closed had left.
    """
    if url.startswith("unix:") or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return {}
    options = {socket.TCP_USER_TIMEOUT: int(timeout_s * 1000)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}
