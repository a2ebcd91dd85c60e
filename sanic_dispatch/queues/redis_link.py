"""The way to Redis: the scripts over the keys of one prefix.

A change that is repeated carries the token of its first try, by which the script finds out what
that one has done: so it is done once, also where only its answer was lost.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

from sanic_dispatch.errors import RedisUnusable, StorageFailed
from sanic_dispatch.queues.redis_pipe import Command, Pipe
from sanic_dispatch.queues.redis_records import dumped
from sanic_dispatch.redis_url import shown
from sanic_dispatch.tally import CommitTally

KEYS = (
    "meta", "events", "data", "owners", "lent", "dispatchers",
    "jobs", "jobs:line", "jobs:free", "jobs:keys", "jobs:callbacks",
    "finished", "finished:line", "finished:callbacks",
    "workers", "workers:line", "workers:free", "workers:keys",
)  # fmt: skip
"""All keys there are, in the order in which the scripts know them."""

EVENTS_KEPT = 10_000
"""How many events the stream holds at least; whoever is further behind begins anew."""

DATA_SHOWN = 65_536
"""The largest data of a job that goes with its events; more is never looked into for texts."""

LATE_LOOKS = 5
"""How often to look for what an unanswered call did: the network may bring it late."""

LOOKS = ("find", "of_key", "look", "load")
CHANGES = (
    "begin", "enqueue", "replace", "remove", "finish", "put_back", "pause",
    "offer", "ask", "pair", "renew", "take_over", "disown", "give_back", "leave", "write",
)  # fmt: skip
"""The scripts, each a file in lua/."""


class _Words(NamedTuple):
    """A plain command."""

    command: Sequence[Any]
    is_change: bool = False

    def words(self, *, again: bool) -> Sequence[Any]:
        return self.command


class _Script(NamedTuple):
    """A call of a script."""

    name: str
    keys: Sequence[str]
    asked: Mapping[str, Any]
    data: Sequence[bytes] = ()

    @property
    def is_change(self) -> bool:
        return self.name in CHANGES

    def words(self, *, again: bool) -> Sequence[Any]:
        asked = dumped({**self.asked, "again": True} if again else self.asked)
        return "EVALSHA", digest_of(self.name), len(self.keys), *self.keys, asked, *self.data


class Link:
    """Calls scripts, and looks things up; it connects when it is first used."""

    def __init__(self, url: str, prefix: str) -> None:
        self.by = ""
        """Who calls: this dispatcher's id."""
        self.own: set[str] = set()
        """All ids that this process had: its dispatcher gets another when it was taken for dead."""
        self.secret = secrets.token_hex(32)
        """What the queues get where there are none yet."""
        self._keys = [f"{{{prefix}}}:{key}" for key in KEYS]
        self.where = shown(url)
        self._pipe = Pipe(url, [text_of(name) for name in (*LOOKS, *CHANGES)])
        self._pipe.unanswered = self._note_unanswered
        self._unanswered: dict[str, int] = {}
        self._lists = Pipe(url, [text_of(name) for name in LOOKS])

    @property
    def tally(self) -> CommitTally:
        """What the changes took."""
        return self._pipe.tally

    async def begin(self) -> tuple[str, int]:
        """Make sure that the queues are there. Returns the present epoch and number.

        Raises RedisUnusable where something else is there, and StorageFailed.
        """
        info = cast(bytes, await self._pipe.call(_Words(("INFO", "server")))).decode()
        run = next(line for line in info.splitlines() if line.startswith("run_id:"))
        word, *answer = await self.call(
            "begin", run=run, secret=self.secret, epoch=secrets.token_hex(4)
        )
        if word == "refused":
            raise RedisUnusable(self.where, answer[0].decode())
        return answer[0].decode(), answer[1]

    async def call(self, name: str, data: bytes = b"", **asked: Any) -> list[Any]:
        """Call a script that may change something; it goes on if the caller is cancelled.

        Returns its answer: a word, and what the script says. Raises StorageFailed.
        """
        return _said(await self._pipe.call(self.script(name, asked, [data])))

    async def disown(self) -> bool:
        """Give away what calls did that nobody waits for any more, as if this one had died.

        Returns whether there is something: it can be taken over then. Raises StorageFailed.
        """
        if not self._unanswered:
            return False
        looked_for = list(self._unanswered)
        _, *answer = await self.call("disown", tokens=looked_for)
        found = {token.decode() for token in answer}
        for token in looked_for:
            self._unanswered[token] += 1
            if token in found or self._unanswered[token] >= LATE_LOOKS:
                del self._unanswered[token]
        return bool(found)

    def _note_unanswered(self, command: Command) -> None:
        if isinstance(command, _Script) and "notes" in command.asked:  # it leaves an event
            self._unanswered[command.asked["token"]] = 0

    def script(self, name: str, asked: Mapping[str, Any], data: Sequence[bytes]) -> Command:
        """A call of a script that may change something, to be sent."""
        own = {"by": self.by, "token": secrets.token_hex(8)}
        limits = {"kept_events": EVENTS_KEPT, "most_data": DATA_SHOWN}
        return _Script(name, self._keys, {**own, **limits, **asked}, data)

    async def look(self, name: str, **asked: Any) -> list[Any]:
        """Call a script that changes nothing. Raises StorageFailed."""
        return _said(await self._pipe.call(_Script(name, self._keys, asked)))

    async def look_at_all(self, **asked: Any) -> list[Any]:
        """The same for whole queues, on another connection: it holds nobody else up."""
        return _said(await self._lists.call(_Script("look", self._keys, asked)))

    async def read(self, command: str, key: str, *arguments: Any) -> Any:
        """One command that changes nothing. Raises StorageFailed."""
        return await self._pipe.call(_Words((command, self.key(key), *arguments)))

    async def read_many(self, command: str, key: str, *arguments: Any) -> Any:
        """The same on the other connection."""
        return await self._lists.call(_Words((command, self.key(key), *arguments)))

    def key(self, name: str) -> str:
        """A key by the name that it has here."""
        return self._keys[KEYS.index(name)]

    async def close(self) -> None:
        """Wait for what is under way, and hang up."""
        await self._pipe.close()
        await self._lists.close()


@cache
def text_of(name: str) -> str:
    """A script with what stands before it."""
    parts = ["common", name] if name == "begin" else ["common", "guard", name]
    folder = files("sanic_dispatch.queues") / "lua"
    texts = [(folder / f"{part}.lua").read_text() for part in parts]
    return "\n".join([f"#!lua flags={'no-writes' if name in LOOKS else ''}", *texts])


@cache
def digest_of(name: str) -> str:
    """What Redis knows a script by."""
    return hashlib.sha1(text_of(name).encode(), usedforsecurity=False).hexdigest()


def _said(answer: list[Any]) -> list[Any]:
    word = answer[0].decode()
    if word == "gone":
        raise StorageFailed("Redis has lost the queues")
    return [word, *answer[1:]]
