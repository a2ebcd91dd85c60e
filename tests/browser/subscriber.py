"""A customer who wants to be notified, with a browser that can be subscribed to push messages."""

from __future__ import annotations

import json
from typing import Any

from tests.browser.pages import OrderPage
from tests.browser.visitors import Visitors
from tests.support.push_phone import PushPhone
from tests.support.receiver import Receiver

PUSHED_TO = ("127.0.0.0/8",)
"""Where the push services of these browsers are: the service has to allow it."""

A_PUSH_SERVICE = """(subscriptions) => {
    self.subscribed = [];
    self.current ??= null;
    const bytesOf = (key) => Uint8Array.fromBase64(key, { alphabet: 'base64url' }).buffer;
    self.subscriptionOf = (json, key, expirationTime = null) => ({
        options: { applicationServerKey: bytesOf(key) }, expirationTime, toJSON: () => json,
        unsubscribe: async () => { self.current = null; return true; },
    });
    PushManager.prototype.getSubscription = async () => self.current;
    PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
        if (!userVisibleOnly) throw new DOMException('not silently', 'NotAllowedError');
        self.current = subscriptionOf(subscriptions[subscribed.length], applicationServerKey);
        subscribed.push(applicationServerKey);
        return self.current;
    };
}"""
"""The push service of a browser's maker is on the internet: this stands in for its subscribing."""

ASK_CUSTOMER = "Notification.requestPermission = () => askCustomer();"
"""A headless browser has nobody to ask."""


def message(order_id: str, kind: str, ticket: int = 42, lang: str = "en") -> str:
    """Return what the service encrypts for a phone."""
    return json.dumps({"job": order_id, "ticket": ticket, "kind": kind, "lang": lang})


class Subscriber:
    """A customer whose browser can be subscribed, at first with the first of its endpoints."""

    def __init__(self, phone: OrderPage, endpoints: list[PushPhone], wants: bool) -> None:
        self.phone = phone
        self.endpoints = endpoints
        self._wants = wants

    @classmethod
    async def come(
        cls, visitors: Visitors, push_service: Receiver, topic: str = "", *,
        wants: bool = True, endpoint: str = "", **profile: Any,
    ) -> Subscriber:  # fmt: skip
        """Come with a phone, and say later whether it may notify."""
        phone = await visitors.newcomer(**profile)
        phone.base_url += topic
        context = phone.page.context
        urls = [push_service.url(f"send/{n}") for n in range(3)]
        endpoints = [PushPhone(endpoint or url) for url in urls]
        self = cls(phone, endpoints, wants)
        await context.expose_function("askCustomer", self._answer)
        await context.add_init_script(ASK_CUSTOMER)
        await context.add_init_script(f"({A_PUSH_SERVICE})({json.dumps(self.subscriptions)})")
        return self

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        """What the browser says of them."""
        return [
            {name: value for name, value in one.subscription().items() if name != "lang"}
            for one in self.endpoints
        ]

    async def _answer(self) -> str:
        devtools = await self.phone.page.context.new_cdp_session(self.phone.page)
        answer = "granted" if self._wants else "denied"
        target = (await devtools.send("Target.getTargetInfo"))["targetInfo"]
        await devtools.send(
            "Browser.setPermission",
            {
                "permission": {"name": "notifications"},
                "setting": answer,
                "browserContextId": target["browserContextId"],
            },
        )
        return answer
