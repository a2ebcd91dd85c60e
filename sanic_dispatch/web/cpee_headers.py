"""The CPEE headers of a worker: who it is, where it can be called, and that a job is its own."""

from __future__ import annotations

import re

from sanic_dispatch.callbacks.url import split_url
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.worker import Key
from sanic_dispatch.web.context import Call

MAX_LABEL = 200

_VISIBLE = re.compile(r"[\x21-\x7e]+")


def key_of(request: Call) -> Key | None:
    """The worker's key, if it says both its process instance and its activity."""
    instance = request.headers.get("cpee-instance-uuid")
    activity = request.headers.get("cpee-activity")
    return Key(plain(instance), plain(activity)) if instance and activity else None


def proof_of(request: Call) -> Proof:
    """What a worker shows to be taken for the holder of a job."""
    callback_url = visible(request.headers.get("cpee-callback", ""))
    receipt = visible(request.headers.get("job-receipt", ""))
    instance = plain(request.headers.get("cpee-instance-uuid", ""))
    return Proof(callback_url or None, key_of(request), receipt or None, instance or None)


def instance_url_of(request: Call, callback_url: str) -> str:
    """The process instance's address; empty unless it has the callback's origin.

    It is called, and shown as a link: only the engine that is called back anyway may name one.
    """
    instance_url = visible(request.headers.get("cpee-instance-url", ""))
    if not instance_url:
        return ""
    origin = _origin(callback_url)
    return instance_url if origin and _origin(instance_url) == origin else ""


def name_of(request: Call) -> str:
    """What people call the worker: the ``info`` of its process, else the label of its activity.

    Many processes have the same label there; their modellers tell them apart by ``info``.
    """
    info, label = (
        plain(request.headers.get(name, "")) for name in ("cpee-attr-info", "cpee-label")
    )
    return info.strip() or label


def plain(text: str) -> str:
    """A header's text: the engine sends raw UTF-8; control characters are dropped."""
    if text.isascii() and text.isprintable():  # as nearly all of them are, in a tenth of the time
        return text[:MAX_LABEL]
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable())[:MAX_LABEL]


def visible(text: str) -> str:
    """The text if it is visible ASCII, else nothing."""
    return text if _VISIBLE.fullmatch(text) else ""


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        target = split_url(url)
    except ValueError:
        return None
    if target.userinfo or target.scheme not in ("http", "https"):
        return None
    return target.scheme, target.host, target.port
