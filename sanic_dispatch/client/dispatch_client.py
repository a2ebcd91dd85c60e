"""The client: one HTTP session, and one live connection for each followed view."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Self

import aiohttp
import ujson
from yarl import URL

from sanic_dispatch.client.answers import (
    BadAddress,
    JobStatus,
    ServiceError,
    Submitted,
    Unreachable,
    error_of,
    error_text,
    read_answer,
)
from sanic_dispatch.client.channel import (
    WATCHDOG_S,
    ChannelLost,
    Lost,
    ViewState,
    delay_s,
    frames_of,
    reduce,
)
from sanic_dispatch.clock import Clock, SystemClock

Query = Mapping[str, str] | Sequence[tuple[str, str]]

MAX_LINE_CHARS = 200
"""The longest reason, and the longest text of a progress, that the service takes."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


class DispatchClient:
    """A client of one service; use it with ``async with``.

    ``base_url`` is the service's URL, with any path prefix. ``token`` is sent with every request.
    ``timeout_s`` limits a request, ``watchdog_s`` the silence of a live channel. Tests replace
    ``clock`` and ``rng``.
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
        """Raises BadAddress, as ``parse_base_url``."""
        self.base_url = parse_base_url(base_url, token)
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

    async def submit(
        self,
        data: Any,
        idempotency_key: str | None = None,
        priority: int | None = None,
        *,
        wait_s: float = 0.0,
    ) -> Submitted:
        """Submit a job: bytes unchanged, anything else encoded as JSON.

        With an idempotency key a submission without an answer can safely be repeated. The service
        ignores the priority, 0 to 7, unless the token may choose one. ``wait_s`` is how much longer
        than other answers this one may take; the service has --submit-wait for that.

        Raises ServiceError if the service refuses the job; 400, before anything is sent, for what
        JSON does not have.
        """
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        if priority is not None:
            headers["Job-Priority"] = str(priority)
        body = data if isinstance(data, bytes) else to_json(data)
        async with self._request(
            "POST", "submit-job", data=body, headers=headers, timeout=self._timeout_after(wait_s)
        ) as answer:
            job_id = answer.headers.get("Location", "").rpartition("/")[2]
            if answer.status == 200:
                return Submitted(job_id, None)
            return Submitted(
                job_id, await read_answer(answer, lambda said: said["Queued"]["position"])
            )

    async def job(self, job_id: str) -> JobStatus:
        """Return the state of a job."""
        async with self._request("GET", "jobs", job_id) as answer:
            return await read_answer(answer, JobStatus.of)

    async def cancel(self, job_id: str) -> None:
        """Cancel a waiting job, or have the holder of an assigned one stop.

        Raises ServiceError 409 if it is over, or its holder cannot hear of it.
        """
        async with self._request("DELETE", "jobs", job_id):
            pass

    async def register(
        self,
        callback_url: str,
        headers: Mapping[str, str] = _NOTHING,
        *,
        lost: bool = False,
        rule: Iterable[tuple[str, str]] = (),
    ) -> dict[str, Any] | None:
        """Register a worker; return a job, or None if the callback will get one later.

        A job is ``{"id","data","submitted_at"}``. ``headers`` may identify the worker
        (CPEE-INSTANCE-UUID, CPEE-ACTIVITY, …). ``lost`` says that the answer to the last
        registration did not arrive. ``rule`` says which jobs it takes, as pairs such as
        ``("match.drink", "mojito|gin-tonic")`` and ``("not.size", "xl")``.
        """
        headers = {**headers, "CPEE-CALLBACK": callback_url}
        query = [*rule, *([("lost", "")] if lost else [])]
        async with self._request("POST", "register-worker", query=query, headers=headers) as answer:
            if answer.status != 200:
                return None
            return await read_answer(answer, lambda said: dict(said["Job"]))

    async def poll(
        self,
        worker_id: str,
        *,
        wait_s: float = 30.0,
        label: str = "",
        rule: Iterable[tuple[str, str]] = (),
    ) -> dict[str, Any] | None:
        """Wait for a job as a worker that has no callback; return None if there was none in time.

        ``worker_id`` is the worker's name, which no other one may have; ``wait_s`` is 0 to 60. A
        job is ``{"id","data","submitted_at","receipt"}``. It comes again with each poll until it
        was reported with its receipt: ``complete`` or ``fail``. ``rule`` is as in ``register``.
        """
        headers = {"Worker-Id": worker_id, **({"CPEE-LABEL": label} if label else {})}
        query = [*rule, ("wait", f"{wait_s:g}")]
        timeout = self._timeout_after(wait_s)
        async with self._request(
            "POST", "register-worker", query=query, headers=headers, timeout=timeout
        ) as answer:
            if answer.status != 200:
                return None
            job = await read_answer(answer, lambda said: dict(said["Job"]))
            return {**job, "receipt": answer.headers.get("Job-Receipt", "")}

    async def complete(self, job_id: str, receipt: str, result: Any = None) -> None:
        """Report that a job is done, without a result if that is None; a repeat changes nothing."""
        body = b"" if result is None else to_json(result)
        await self._report(job_id, "complete", receipt, body)

    async def fail(self, job_id: str, receipt: str, reason: str, *, retry: bool = False) -> None:
        """Report that a job failed; with ``retry`` another worker may try.

        The reason may be any text; see ``one_line``.
        """
        body = to_json({"reason": one_line(reason), "retry": retry})
        await self._report(job_id, "fail", receipt, body)

    async def _report(self, job_id: str, report: str, receipt: str, body: bytes) -> None:
        headers = {"Job-Receipt": receipt, "Content-Type": "application/json"}
        async with self._request("POST", "jobs", job_id, report, data=body, headers=headers):
            return

    async def follow(
        self,
        view: str = "board",
        *,
        order: str | None = None,
        on_lost: Callable[[Lost], None] | None = None,
    ) -> AsyncGenerator[ViewState]:
        """Yield the view ``board`` or ``monitor``, or that of one order, after each frame.

        Never ends on its own: if the connection is lost, it calls ``on_lost``, reconnects and
        resumes. A heartbeat yields a state too, with the same map. Raises
        ServiceError if the service refuses the request.
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
        self, method: str, *path: str, query: Query = _NOTHING, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield a 2xx answer. Raises ServiceError for any other, and Unreachable without one."""
        if self._session is None:
            raise RuntimeError("the client is not open: use it with `async with`")
        url = self._url(*path, query=query)
        try:
            async with self._session.request(
                method, url, allow_redirects=False, **options
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise await error_of(answer)
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.base_url}: {error_text(error)}") from error

    def _timeout_after(self, wait_s: float) -> aiohttp.ClientTimeout:
        """Return the time-out of a request that the service answers after this time."""
        usual_s = self._timeout.total or 0.0
        return aiohttp.ClientTimeout(total=wait_s + usual_s, sock_connect=usual_s or None)

    def _url(self, *path: str, query: Query) -> URL:
        return self.base_url.joinpath(*path).with_query(query)


def parse_base_url(url: str, token: str | None = None) -> URL:
    """Parse a service's base URL, and drop query and fragment. Raises BadAddress.

    A request has one Authorization header: for the token, or for a user name in the URL.
    """
    try:
        base = URL(url)
    except ValueError as error:
        raise BadAddress(f"{url!r}: {error}") from None
    if base.scheme not in ("http", "https") or not base.host:
        raise BadAddress(f"{url!r} is not an http or https address")
    if token and (base.user or base.password):
        raise BadAddress("a user name in the URL, and a token: only one of them can be sent")
    if token and not (token.isascii() and token.isprintable()):
        raise BadAddress("the token has a line break, or another character that no token has")
    return base.with_query(None).with_fragment(None)


def one_line(text: str) -> str:
    """Return a text as one line of at most 200 characters, as the service takes it.

    So the text of any exception can be a reason.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_LINE_CHARS else line[: MAX_LINE_CHARS - 1] + "…"


def to_json(data: Any) -> bytes:
    """Encode data as JSON. Raises ServiceError for what JSON does not have, as the service would.

    That is NaN, for example, or a lone surrogate.
    """
    try:
        text = ujson.dumps(data, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
        return text.encode()
    except (OverflowError, UnicodeEncodeError) as error:
        raise ServiceError(400, "InvalidJson", f"not JSON: {error}") from None
