"""The monitor rewound, over HTTP: what was live then, what is refused, and how it is played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
import ujson

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.live.schema import frame_schema
from sanic_dispatch.simulation import Engine, Robot, RobotModel
from sanic_dispatch.simulation.background_tasks import Tasks
from tests.support import bar_evening
from tests.support.bar_evening import Bar, BarEvening
from tests.support.http_requests import ask
from tests.support.server import Service, eventually, running_service
from tests.support.story import reduced

TOKEN = "operator-token-1"
MONITOR = {"view": "monitor", "token": TOKEN}
VALID = jsonschema_rs.Draft7Validator(frame_schema("monitor"))


def iso(at_s: float) -> str:
    """Return a moment as the query has it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


async def look(url: str, http: aiohttp.ClientSession, **query: str) -> dict[str, Any]:
    """Return a frame of the monitor."""
    async with http.get(url + "state", params=MONITOR | query) as answer:
        frame: dict[str, Any] = await answer.json()
        assert answer.status == 200, frame
        VALID.validate(frame)
        return frame


async def evening(service: Service, base_url: str = "") -> list[dict[str, Any]]:
    """Let two robots serve some orders; return frames of the live monitor, each in a quiet moment.

    Between two of them something has happened.
    """
    url, frames, tasks = base_url or service.base_url, list[dict[str, Any]](), Tasks()
    async with Engine() as engine:
        for label in ("Ada", "Bert"):
            instance = engine.start_instance(label)
            model = RobotModel(url, mix_s=0.02, pause_s=0.01, label=label)
            tasks.spawn(Robot(instance, model).run())
        for n in range(12):
            before = await look(url, service.http)
            order = {"drink": "mojito", "name": f"Guest {n}"}
            async with service.http.post(url + "submit-job", json=order):
                pass
            frames.append(await _quiet_frame(url, service.http, before["at"]))
        await tasks.cancel()
    return frames


async def _quiet_frame(url: str, http: aiohttp.ClientSession, before: str) -> dict[str, Any]:
    """Return a frame after something has happened, and before anything else does.

    What happens shortly after it may have begun before it, and not have been stored yet.
    """
    frame: dict[str, Any] = {}

    async def is_quiet() -> bool:
        nonlocal frame
        frame = await look(url, http)
        await asyncio.sleep(0.15)
        return bool((await look(url, http))["at"] == frame["at"] != before)

    await eventually(is_quiet, 20)
    return frame


@asynccontextmanager
async def bar(mode: Mode, folder: Path, **settings: Any) -> AsyncIterator[Service]:
    """Run a service with an operator's token."""
    values = {"mode": mode, "operator_tokens": (TOKEN,), **settings}
    if mode is not Mode.IN_MEMORY:
        values["data_dir"] = folder
    async with running_service(**values) as service:
        yield service


MODES = [Mode.IN_MEMORY, Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE]


@pytest.mark.parametrize("mode", MODES)
async def test_what_was_live(mode: Mode, tmp_path: Path) -> None:
    """The view of a moment is what the live monitor showed then, also after a start."""
    async with bar(mode, tmp_path) as service:
        frames = await evening(service)
        await assert_shows(service.base_url, service.http, frames)
    if mode is not Mode.IN_MEMORY:
        async with bar(mode, tmp_path) as service:
            await assert_shows(service.base_url, service.http, frames)


@pytest.mark.parametrize("why", [{"reason": "out of ice"}, {}])
async def test_why_an_operator_acted(why: dict[str, str], tmp_path: Path) -> None:
    """An order shows the reason without who it was, as it did then."""
    async with bar(Mode.CACHED_JSON_FILE, tmp_path) as service:
        url, frames = service.base_url, list[dict[str, Any]]()
        for acts in (["cancel"], ["cancel", "put-back"]):
            answer = await ask(service, "POST", "submit-job", json={"drink": "mojito"})
            if len(acts) > 1:
                poll = {"Worker-Id": "Ada"}
                await ask(service, "POST", "register-worker?wait=5", headers=poll)
            for act in acts:
                before = await look(url, service.http)
                path = f"operator/{answer.headers['Location']}/{act}"
                assert (await ask(service, "POST", path, TOKEN, json=why)).status in (200, 202)
                frames.append(await _quiet_frame(url, service.http, before["at"]))
        assert frames[-1]["state"]["order/2"].get("reason") == why.get("reason")
        await assert_shows(url, service.http, frames)


async def test_every_topic_has_its_past(tmp_path: Path) -> None:
    """A topic's monitor is rewound by its own history."""
    async with bar(Mode.CACHED_JSON_FILE, tmp_path, topic_names=("roof",)) as service:
        roof = f"{service.base_url}topics/roof/"
        frames = await evening(service, roof)
        await assert_shows(roof, service.http, frames)
        async with service.http.get(
            service.base_url + "state", params=MONITOR | {"moment": iso(frames[0]["now"])}
        ) as answer:
            assert answer.status == 400


async def assert_shows(url: str, http: aiohttp.ClientSession, frames: list[Any]) -> None:
    """The past shows what these frames showed, in any order."""
    assert len({frame["at"] for frame in frames}) == len(frames)
    for frame in (*frames[1::2], *frames[::2]):
        past = await look(url, http, moment=iso(frame["now"]))
        assert past["past"] is True
        assert past["now"] == pytest.approx(frame["now"], abs=0.001)
        assert past["at"].partition(":")[2] == frame["at"].partition(":")[2]
        assert past["state"] == frame["state"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"moment": "yesterday"}, "moment is a time with its zone in ISO 8601"),
        ({"moment": "2024-11-24T01:39:00"}, "moment is a time with its zone"),
        ({"moment": ""}, "moment is a time with its zone"),
        ({"moment": "2001-01-01T00:00:00Z"}, "it begins at 20"),
        ({"moment": "2901-01-01T00:00:00Z"}, "moment is in the future: it is 20"),
        ({"moment": "{now}", "view": "board"}, "moment goes with view=monitor"),
        ({"moment": "{now}", "order": "abc", "view": None}, "moment goes with view=monitor"),
        ({"moment": "{now}", "since": "abc:1"}, "either since or moment"),
        ({"moment": "{now}", "speed": "2"}, "speed is one of 1, 10, 60"),
        ({"speed": "10"}, "speed goes with moment"),
    ],
)
async def test_what_is_refused(query: dict[str, str | None], why: str, tmp_path: Path) -> None:
    """A bad query is 400 with what is allowed, and closes a websocket with 4400."""
    async with bar(Mode.IN_MEMORY, tmp_path) as service:
        await service.submit({"drink": "mojito"})
        now = iso(time())
        given = MONITOR | {name: value and value.format(now=now) for name, value in query.items()}
        asked = {name: value for name, value in given.items() if value is not None}
        async with service.http.get(service.base_url + "state", params=asked) as answer:
            problem = await answer.json()
            assert (answer.status, problem["Error"]) == (400, "InvalidRequest"), problem
            assert answer.content_type == "application/problem+json"
            assert why in problem["detail"]
        async with service.http.ws_connect(service.base_url + "live", params=asked) as socket:
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4400)


async def test_only_operators_look_back(tmp_path: Path) -> None:
    """Without the token the past is as closed as the present."""
    async with bar(Mode.IN_MEMORY, tmp_path) as service:
        await service.submit({"drink": "mojito"})
        asked = {"view": "monitor", "moment": iso(time())}
        async with service.http.get(service.base_url + "state", params=asked) as answer:
            assert answer.status == 401
        async with service.http.ws_connect(service.base_url + "live", params=asked) as socket:
            assert (await socket.receive()).data == 4401


async def test_playing(tmp_path: Path) -> None:
    """Frames go on from the moment, faster if asked, and end at the present."""
    async with bar(Mode.CACHED_JSON_FILE, tmp_path) as service:
        frames = await evening(service)
        begin_s, end_s = frames[0]["now"], frames[-1]["now"]
        asked = MONITOR | {"moment": iso(begin_s), "speed": "10"}
        state: dict[str, Any] = {}
        shown: dict[int, Any] = {}
        last_s, began_s = 0.0, time()
        async with service.http.ws_connect(service.base_url + "live", params=asked) as socket:
            async for message in socket:
                frame = ujson.loads(message.data)
                VALID.validate(frame)
                assert frame["past"] is True
                assert frame["now"] >= last_s
                last_s, state = frame["now"], reduced(state, frame)
                shown[int(frame["at"].partition(":")[2])] = state
                if last_s > end_s:
                    break
        assert time() - began_s < (end_s - begin_s) / 2 + 1.5
        assert state == frames[-1]["state"]
        numbers = {int(frame["at"].partition(":")[2]): frame["state"] for frame in frames}
        assert shown[min(numbers)] == numbers[min(numbers)]
        assert not service.app.ctx.playbacks._running or await _ends(service)


async def test_playing_into_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last frame is of where it begins, so that the next second says where it ends."""
    monkeypatch.setattr(bar_evening, "START_S", time() - 4 * 3600)
    past = BarEvening(Bar(orders=40))
    before, lost = past.events[59], past.events[60:100]
    del past.events[60:100]
    past.write(tmp_path)
    async with bar(Mode.CACHED_JSON_FILE, tmp_path) as service:
        asked = MONITOR | {"moment": iso(before.at_s - 10), "speed": "60"}
        async with service.http.ws_connect(service.base_url + "live", params=asked) as socket:
            frames = [ujson.loads(message.data) async for message in socket]
            assert socket.close_code == 4400
        assert frames[-1]["now"] == round(before.at_s, 3)
        query = MONITOR | {"moment": iso(before.at_s + 1)}
        async with service.http.get(service.base_url + "state", params=query) as answer:
            said = await answer.json()
        assert (answer.status, said["detail"][:16]) == (400, "moment is in a h")
        assert lost[-1].at_s > before.at_s + 1


async def _ends(service: Service) -> bool:
    async def none_left() -> bool:
        return not service.app.ctx.playbacks._running

    await eventually(none_left)
    return True


async def test_an_event_stream(tmp_path: Path) -> None:
    """The same frames come as an event stream."""
    async with bar(Mode.IN_MEMORY, tmp_path) as service:
        await service.submit({"drink": "mojito"})
        moment_s = time()
        asked = MONITOR | {"moment": iso(moment_s)}
        headers = {"Accept": "text/event-stream", "Last-Event-ID": "past:1"}
        async with service.http.get(
            service.base_url + "state", params=asked, headers=headers
        ) as answer:
            lines = [await answer.content.readline() for _ in range(2)]
        frame = ujson.loads(lines[1].removeprefix(b"data: "))
        assert frame["state"]["order/1"]["state"] == "waiting"
        await _ends(service)


async def test_a_stop_ends_what_is_played(tmp_path: Path) -> None:
    """A service that stops closes such a websocket as any other: come back."""
    async with bar(Mode.IN_MEMORY, tmp_path) as service:
        await service.submit({"drink": "mojito"})
        asked = MONITOR | {"moment": iso(time())}
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(service.base_url + "live", params=asked)
            assert "state" in ujson.loads((await socket.receive()).data)
            service.app.ctx.playbacks.stop()
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                continue
            assert message.data == 1012
            await _ends(service)


async def test_a_history_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the disk closes such a websocket, too: come back."""

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    async with bar(Mode.IN_MEMORY, tmp_path) as service:
        await service.submit({"drink": "mojito"})
        asked = MONITOR | {"moment": iso(time())}
        async with service.http.ws_connect(service.base_url + "live", params=asked) as socket:
            assert "state" in ujson.loads((await socket.receive()).data)
            monkeypatch.setattr(Rewinder, "_look", failing)
            while (message := await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
                continue
            assert message.data == 4503
            await _ends(service)


async def test_too_many_players(tmp_path: Path) -> None:
    """There is a limit of what is played at the same time."""
    async with bar(Mode.IN_MEMORY, tmp_path) as service:
        await service.submit({"drink": "mojito"})
        asked = MONITOR | {"moment": iso(time())}
        sockets = [
            await service.http.ws_connect(service.base_url + "live", params=asked)
            for _ in range(17)
        ]
        assert (await sockets[-1].receive()).data == 4503
        assert "state" in ujson.loads((await sockets[0].receive()).data)
        for socket in sockets:
            await socket.close()
        await _ends(service)
