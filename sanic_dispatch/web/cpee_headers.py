"""The CPEE headers: a worker's identity, callback and name, and its proof of holding a job."""

from __future__ import annotations

import re

from sanic_dispatch.callbacks.url import http_origin
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.worker import Key
from sanic_dispatch.web.context import Call

MAX_LABEL_CHARS = 200

_VISIBLE = re.compile(r"[\x21-\x7e]+")


def worker_key_of(request: Call) -> Key | None:
    """Return the worker's key, if the request names both process instance and activity."""
    instance = request.headers.get("cpee-instance-uuid")
    activity = request.headers.get("cpee-activity")
    return Key(plain(instance), plain(activity)) if instance and activity else None


def proof_of(request: Call) -> Proof:
    """Return what the request shows to prove that it comes from a job's holder."""
    callback_url = visible(request.headers.get("cpee-callback", ""))
    receipt = visible(request.headers.get("job-receipt", ""))
    instance = plain(request.headers.get("cpee-instance-uuid", ""))
    return Proof(callback_url or None, worker_key_of(request), receipt or None, instance or None)


def instance_url_of(request: Call, callback_url: str) -> str:
    """Return the process instance's URL; empty unless it has the callback's origin.

    It is called, and shown as a link, so only the engine that is called back anyway may name one.
    """
    instance_url = visible(request.headers.get("cpee-instance-url", ""))
    if not instance_url:
        return ""
    origin = http_origin(callback_url)
    return instance_url if origin and http_origin(instance_url) == origin else ""


def name_of(request: Call) -> str:
    """Return the worker's name: its process's ``info`` attribute, else its activity's label.

    Many processes share a label; modellers tell them apart by ``info``.
    """
    info = plain(request.headers.get("cpee-attr-info", "")).strip()
    return info or plain(request.headers.get("cpee-label", ""))


def plain(text: str) -> str:
    """Decode a header that the engine sent as raw UTF-8, without control characters."""
    if text.isascii() and text.isprintable():  # as nearly all of them are, in a tenth of the time
        return text[:MAX_LABEL_CHARS]
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable())[:MAX_LABEL_CHARS]


def visible(text: str) -> str:
    """Return the text if it is visible ASCII, else an empty string."""
    return text if _VISIBLE.fullmatch(text) else ""
