"""An order over HTTP whose phone is told of it: submitted, made by a robot, and ready."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.support.push_phone import PushPhone, Told
from tests.support.receiver import Receiver
from tests.support.server import eventually


class PhoneOrder:
    """An order of a customer at one process or another; ``http`` has the operator's token."""

    def __init__(self, http: aiohttp.ClientSession, receiver: Receiver) -> None:
        self.http, self.receiver = http, receiver
        self.phone = PushPhone(receiver.url("send/1"))
        self.job = ""
        self._receipt = ""

    async def submit(self, url: str) -> None:
        """Submit it, and subscribe the phone."""
        async with self.http.post(f"{url}submit-job", json="mojito") as answer:
            assert answer.status == 202
            self.job = answer.headers["Location"].removeprefix("jobs/")
        said = self.phone.subscription()
        async with self.http.put(f"{url}jobs/{self.job}/push", json=said) as answer:
            assert answer.status == 204, await answer.text()

    async def make(self, url: str, robot: int = 1) -> None:
        """Let a robot take it; each robot makes one."""
        headers = {
            "CPEE-CALLBACK": f"http://127.0.0.1:1/callbacks/{robot}/",
            "CPEE-INSTANCE-UUID": f"robot-{robot}",
            "CPEE-ACTIVITY": "a1",
        }
        async with self.http.post(f"{url}register-worker", headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["Job"]["id"] == self.job
            self._receipt = answer.headers["Job-Receipt"]

    async def finish(self, url: str) -> None:
        """Let the robot say that it is ready, at the next owner if need be."""
        headers = {"Job-Receipt": self._receipt}

        async def is_taken() -> bool:
            path = f"{url}jobs/{self.job}/complete"
            async with self.http.post(path, headers=headers) as answer:
                return answer.status == 200

        await eventually(is_taken, 20)

    async def told(self, kind: str) -> list[Told]:
        """Wait until the phone was told something, and return all that it was told."""

        async def is_told() -> bool:
            return any(each.kind == kind for each in self._messages())

        await eventually(is_told, 20)
        return self._messages()

    async def ended(self, url: str) -> None:
        """Wait until no phone is kept."""

        async def is_over() -> bool:
            async with self.http.get(f"{url}operator/push") as answer:
                said: dict[str, Any] = await answer.json(content_type=None)
                return said == {"subscriptions": 0, "pending": []}

        await eventually(is_over, 20)

    def faults(self) -> list[str]:
        """Return what is wrong with what the phone was told; empty if nothing is."""
        messages = self._messages()
        kinds = list(dict.fromkeys(each.kind for each in messages))
        wrong = [] if kinds == ["making", "ready"] else [f"it was told {kinds}"]
        if len({(each.topic, each.key, each.said["job"]) for each in messages}) != 1:
            wrong.append("messages differ in their push topic, their key or their order")
        return wrong

    def _messages(self) -> list[Told]:
        return [self.phone.read(each) for each in self.receiver.received]
