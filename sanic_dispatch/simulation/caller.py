"""The simulated engine's HTTP client: sends the same requests as CPEE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from sanic_dispatch.client.answers import error_text
from sanic_dispatch.simulation.content import EmptyJson, read_content

if TYPE_CHECKING:
    from sanic_dispatch.simulation.instance import Instance
    from sanic_dispatch.simulation.waits import Wait


class CallFailed(Exception):
    """A call failed: an answer other than 2xx, no connection, or no answer.

    ``result`` is what the model's rescue code gets: status and body, or None without an answer.
    """

    def __init__(self, reason: str, result: dict[str, object] | None = None) -> None:
        super().__init__(reason)
        self.result = result


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """The call of an activity, without its callback."""

    url: str
    activity: str
    label: str
    extra_headers: Mapping[str, str]
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """A service's answer to a call."""

    status: int
    callback: bool
    """Whether the result comes later: the header ``CPEE-CALLBACK`` is exactly ``true``."""
    value: object
    """The body as the process sees it; None if it is empty."""
    body: bytes
    headers: Mapping[str, str]


class Caller:
    """Posts the calls of all instances of an engine, over a connection pool, without a timeout."""

    def __init__(self) -> None:
        """Create the pool; has to be called in the event loop."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Typhoeus - https://github.com/typhoeus/typhoeus"},
            skip_auto_headers=("Accept-Encoding",),
            trace_configs=[trace],
        )

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._session.close()

    async def post(
        self, url: str, headers: Mapping[str, str], arguments: Mapping[str, str]
    ) -> ServiceAnswer:
        """POST the arguments as a form, and return the answer. Raises CallFailed.

        If a reused connection breaks without an answer, the call is sent again, as CPEE's client
        does: a service can get the same CPEE-CALLBACK twice.
        """
        _check_host(url)
        try:
            answer = await self._post(url, headers, arguments)
        except aiohttp.ClientError as error:
            raise CallFailed(error_text(error)) from error
        if not 200 <= answer.status < 300:
            body = answer.body.decode("utf-8", "replace")
            raise CallFailed(f"answered {answer.status}", {"status": answer.status, "error": body})
        return answer

    async def _post(
        self, url: str, headers: Mapping[str, str], arguments: Mapping[str, str]
    ) -> ServiceAnswer:
        attempt = SimpleNamespace(reused=False)
        try:
            return await self._send(url, headers, arguments, attempt)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if not attempt.reused:
                raise
        return await self._post(url, headers, arguments)

    async def _send(
        self,
        url: str,
        headers: Mapping[str, str],
        arguments: Mapping[str, str],
        attempt: SimpleNamespace,
    ) -> ServiceAnswer:
        request = self._session.post(
            url,
            data=aiohttp.FormData(arguments)(),
            headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
            trace_request_ctx=attempt,
        )
        async with request as response:
            return _answer(response, await response.read())


def headers_of(instance: Instance, wait: Wait) -> dict[str, str]:
    """Return the CPEE headers of a call."""
    return {
        "CPEE-BASE": instance.engine.base_url,
        "CPEE-INSTANCE": str(instance.number),
        "CPEE-INSTANCE-URL": instance.url,
        "CPEE-INSTANCE-UUID": instance.uuid,
        "CPEE-CALLBACK": instance.callback_url(wait.callback_id),
        "CPEE-CALLBACK-ID": wait.callback_id,
        "CPEE-ACTIVITY": wait.activity,
        "CPEE-LABEL": wait.label,
        **{f"CPEE-ATTR-{_header(name)}": value for name, value in instance.attributes.items()},
    }


def _header(name: str) -> str:
    return name.upper().replace("_", "-")


def _answer(response: aiohttp.ClientResponse, body: bytes) -> ServiceAnswer:
    callback = response.headers.get("CPEE-CALLBACK") == "true"
    try:
        value = read_content(body, response.headers.get("Content-Type", "")) if body else None
    except EmptyJson:
        value = None
    return ServiceAnswer(response.status, callback, value, body, response.headers)


def _check_host(url: str) -> None:
    """Raise CallFailed unless the host is a dotted name, an IPv4 address or ``localhost``."""
    host = URL(url).host or ""
    if host != "localhost" and "." not in host:
        raise CallFailed(f"the endpoint's host {host!r} has no dot")


async def _note_reuse(session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
    context.trace_request_ctx.reused = True
