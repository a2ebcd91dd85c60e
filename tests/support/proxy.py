"""A reverse proxy that strips a path prefix, and has a network's faults."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple, Self

from tests.support.relay import Relay

CHUNK = 65536
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NO_SERVER = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOT_HERE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Request(NamedTuple):
    """The head of a request."""

    method: str
    target: str
    headers: bytes

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """Parse the bytes of a head, with the empty line at the end."""
        line, _, headers = head.partition(b"\r\n")
        method, target, _ = line.decode("ascii").split(" ")
        return cls(method, target, headers)

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a websocket."""
        return self._header(b"upgrade").lower() == b"websocket"

    @property
    def body_length(self) -> int:
        """The length of its body; browsers always send it."""
        return int(self._header(b"content-length") or 0)

    def _header(self, name: bytes) -> bytes:
        for line in self.headers.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return b""


class Link:
    """A client's connection, and the server's that belongs to it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.loses_answer = False

    def abort(self) -> None:
        """Break both."""
        for writer in (self.to_client, self.to_server):
            writer.transport.abort()


class Proxy(Relay):
    """Forwards requests under ``prefix`` inside ``async with``.

    ``requests`` has the forwarded requests without the prefix, in order.
    """

    def __init__(self, server_port: int, prefix: str = "/") -> None:
        super().__init__()
        self.prefix = prefix
        self.requests: list[str] = []
        self.is_online = True
        self.is_broken = False
        """Whether it does not reach the server: it answers with ``no_server``."""
        self.no_server = NO_SERVER
        self.refuses_upgrades = False
        self.loses_answer_to: str | None = None
        """The beginning of the next request whose answer is lost."""
        self.not_now: dict[str, str] = {}
        """By how a request begins: the status with which the next one is refused."""
        self._server_port = server_port
        self._links: set[Link] = set()

    @property
    def url(self) -> str:
        """The service's URL for clients."""
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def drop_all(self) -> None:
        """Break every connection; new ones are accepted."""
        for link in self._links:
            link.abort()

    def go_offline(self) -> None:
        """Break every connection, and refuse new ones."""
        self.is_online = False
        self.drop_all()

    def go_online(self) -> None:
        """Accept connections again."""
        self.is_online = True

    def count(self, request: str) -> int:
        """Return how many requests began like this, as in ``POST /submit-job``."""
        return sum(one.startswith(request) for one in self.requests)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_online:
            return
        server = await asyncio.open_connection("127.0.0.1", self._server_port)
        link = Link((reader, writer), server)
        if not self.is_online:  # since just now
            link.abort()
            return
        self._links.add(link)
        answers = asyncio.create_task(_pass_answers(link))
        try:
            await self._pass_requests(link)
        finally:
            self._links.discard(link)
            link.abort()
            await asyncio.gather(answers, return_exceptions=True)

    async def _pass_requests(self, link: Link) -> None:
        while True:
            request = Request.parse(await link.from_client.readuntil(b"\r\n\r\n"))
            if refusal := self._refusal(request):
                await link.from_client.readexactly(request.body_length)  # else it ends in a reset
                link.to_client.write(refusal)
                await link.to_client.drain()
                return None
            await self._pass(request, link)
            if request.is_upgrade:
                return await _copy(link.from_client, link.to_server)

    def _refusal(self, request: Request) -> bytes | None:
        if not request.target.startswith(self.prefix):
            return NOT_HERE
        if self.is_broken:
            return self.no_server
        name = f"{request.method} /{request.target.removeprefix(self.prefix)}"
        begin = next((each for each in self.not_now if name.startswith(each)), None)
        if begin is not None:
            status = self.not_now.pop(begin).encode()
            return b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status
        return REFUSED if request.is_upgrade and self.refuses_upgrades else None

    async def _pass(self, request: Request, link: Link) -> None:
        target = "/" + request.target.removeprefix(self.prefix)
        name = f"{request.method} {target}"
        self.requests.append(name)
        if self.loses_answer_to and name.startswith(self.loses_answer_to):
            self.loses_answer_to, link.loses_answer = None, True
        body = await link.from_client.readexactly(request.body_length)
        link.to_server.write(f"{name} HTTP/1.1\r\n".encode() + request.headers + body)
        await link.to_server.drain()


async def _pass_answers(link: Link) -> None:
    with suppress(OSError):
        while (chunk := await link.from_server.read(CHUNK)) and not link.loses_answer:
            link.to_client.write(chunk)
            await link.to_client.drain()
    link.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
