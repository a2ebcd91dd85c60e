"""The client: one session for HTTP, one connection for each view that is followed."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Self

import aiohttp
import ujson
from yarl import URL

from sanic_dispatch.client.answers import (
    JobStatus,
    Submitted,
    Unreachable,
    error_of,
    read,
    words_of,
)
from sanic_dispatch.client.channel import (
    WATCHDOG_S,
    ChannelLost,
    Lost,
    State,
    delay_s,
    frames_of,
    reduce,
)
from sanic_dispatch.clock import Clock, SystemClock

_NOTHING: Mapping[str, str] = MappingProxyType({})


class DispatchClient:
    """Submits, looks up, cancels, registers and follows; ``async with`` opens and closes it.

    ``base_url`` is where the service is mounted, with any path prefix. ``token`` is sent with
    every request. ``timeout_s`` is for one request, ``watchdog_s`` for the silence of a live
    channel. The clock and the dice come from outside where a test holds them.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        watchdog_s: float = WATCHDOG_S,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Raises ValueError where the URL is not one of http or https."""
        self.base_url = base_of(base_url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._watchdog_s = watchdog_s
        self._clock = clock or SystemClock()
        self._random = rng or random.Random()  # noqa: S311 - no secret
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def submit(self, data: Any, idempotency_key: str | None = None) -> Submitted:
        """Submit a job: bytes are sent as they are, anything else as JSON.

        With a key the same submission can be repeated until it is answered: it is one job.
        """
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        body = data if isinstance(data, bytes) else _to_json(data)
        async with self._request("POST", "submit-job", data=body, headers=headers) as answer:
            job_id = answer.headers.get("Location", "").rpartition("/")[2]
            if answer.status == 200:
                return Submitted(job_id, None)
            return Submitted(job_id, await read(answer, lambda said: said["Queued"]["position"]))

    async def job(self, job_id: str) -> JobStatus:
        """What has become of a job."""
        async with self._request("GET", "jobs", job_id) as answer:
            return await read(answer, JobStatus.of)

    async def cancel(self, job_id: str) -> None:
        """Take a waiting job out of the line; ServiceError 409 once it is anything else."""
        async with self._request("DELETE", "jobs", job_id):
            pass

    async def register(
        self, callback_url: str, headers: Mapping[str, str] = _NOTHING, *, lost: bool = False
    ) -> dict[str, Any] | None:
        """Ask for a job: ``{"id","data","submitted_at"}``, or None: the callback will get it.

        ``headers`` may say more of the worker (CPEE-INSTANCE-UUID, CPEE-ACTIVITY, …); ``lost``
        says that the last answer never arrived.
        """
        headers = {**headers, "CPEE-CALLBACK": callback_url}
        query = {"lost": ""} if lost else _NOTHING
        async with self._request("POST", "register-worker", query=query, headers=headers) as answer:
            if answer.status != 200:
                return None
            return await read(answer, lambda said: dict(said["Job"]))

    async def follow(
        self,
        view: str = "board",
        *,
        order: str | None = None,
        on_lost: Callable[[Lost], None] | None = None,
    ) -> AsyncGenerator[State]:
        """The view ``board`` or ``monitor``, or the order of that id: now, and after each frame.

        Never ends by itself: where the channel is cut off it comes back and resumes; ``on_lost``
        is told of it. Raises ServiceError where the service will not have it. A heartbeat gives a
        state too, with the same map.
        """
        query = {"view": view} if order is None else {"order": order}
        state, since, attempt = None, None, 0
        while True:
            try:
                async with aclosing(self._frames(query, since)) as frames:
                    async for frame in frames:
                        state = reduce(state, frame)
                        since, attempt = state.at, 0
                        yield state
            except ChannelLost as lost:
                since = lost.cursor_after(since)
                pause_s = delay_s(attempt, self._random.random())
                attempt += 1
                if on_lost:
                    on_lost(Lost(lost.reason, pause_s))
                await self._clock.sleep(pause_s)

    def _frames(
        self, query: Mapping[str, str], since: str | None
    ) -> AsyncGenerator[dict[str, Any]]:
        url = self._url("live", query={**query, "since": since} if since else query)
        return frames_of(url, self._headers, self._watchdog_s)

    @asynccontextmanager
    async def _request(
        self, method: str, *path: str, query: Mapping[str, str] = _NOTHING, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer of 2xx. Raises ServiceError for any other, and Unreachable for none."""
        if self._session is None:
            raise RuntimeError("not open: use it with async with")
        url = self._url(*path, query=query)
        try:
            async with self._session.request(
                method, url, allow_redirects=False, **options
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise await error_of(answer)
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.base_url}: {words_of(error)}") from error

    def _url(self, *path: str, query: Mapping[str, str]) -> URL:
        return self.base_url.joinpath(*path).with_query(query)


def base_of(url: str) -> URL:
    """Where a service is mounted, without a query. Raises ValueError where it cannot be."""
    base = URL(url)
    if base.scheme not in ("http", "https") or not base.host:
        raise ValueError(f"{url!r} is not an http or https address")
    return base.with_query(None).with_fragment(None)


def _to_json(data: Any) -> bytes:
    text = ujson.dumps(data, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
    return text.encode()
