"""The floors: a bare Sanic app.

    python -m benchmarks.measure.floors PORT

``/submit-job`` parses the JSON and answers; ``/put-job`` does so after a bare aiohttp PUT of it to
the URL in the query.
"""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
from sanic import HTTPResponse, Request, Sanic
from sanic.response import json, raw


def app() -> Sanic[Any, Any]:
    """Return the app; it logs and stores nothing."""
    bare: Sanic[Any, Any] = Sanic("bare", configure_logging=False)
    bare.config.update(AUTO_EXTEND=False)

    @bare.post("/submit-job")
    async def submit(request: Request) -> HTTPResponse:
        assert request.json
        return json({"Queued": {"position": 1}}, 202)

    @bare.post("/put-job")
    async def put(request: Request) -> HTTPResponse:
        assert request.json
        url = request.args["to"][0]
        async with bare.ctx.session.put(url, data=request.body) as response:
            assert response.status == 200
        return raw(b'"Assigned"', content_type="application/json")

    @bare.before_server_start
    async def open_session(_: object) -> None:
        bare.ctx.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers={"Content-Type": "application/json"}
        )

    @bare.after_server_stop
    async def close_session(_: object) -> None:
        await bare.ctx.session.close()

    return bare


if __name__ == "__main__":
    app().run(
        "127.0.0.1",
        int(sys.argv[1]),
        single_process=True,
        motd=False,
        access_log=False,
        debug=False,
    )
