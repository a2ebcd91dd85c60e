"""Requests as bytes: orders and registrations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count

DATA = b'{"drink": "mojito", "name": "Ada Lovelace", "logo": "lion"}'

_NUMBER = re.compile(rb'"n": *(\d+)')


def post(path: str, body: bytes = b"", headers: str = "") -> bytes:
    """Build a POST request."""
    kind = "Content-Type: application/json\r\n" if body else ""
    head = f"POST /{path} HTTP/1.1\r\nHost: bench\r\n{kind}{headers}Content-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def get(path: str, headers: str = "") -> bytes:
    """Build a GET request."""
    return f"GET /{path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n".encode()


def order(path: str = "submit-job") -> Callable[[], bytes]:
    """Return a function that returns the same order each time."""
    request = post(path, DATA)
    return lambda: request


def numbered_order(number: int) -> bytes:
    """Build an order with a number, by which ``number_in`` recognizes it."""
    return post("submit-job", _numbered(number))


def put_order(host: str, number: int) -> bytes:
    """Build the same for a floor, which PUTs it to this host at once."""
    return post(f"put-job?to=http://{host}/0/callbacks/{number:032x}/", _numbered(number))


def _numbered(number: int) -> bytes:
    return b'{"drink": "mojito", "logo": "lion", "n": %d}' % number


def number_in(body: bytes) -> int | None:
    """Return the number of the order in a message, or None."""
    found = _NUMBER.search(body)
    return int(found[1]) if found else None


def registrations(host: str = "127.0.0.1:9") -> Callable[[], bytes]:
    """Return a function that builds registrations without a key; their callbacks do not listen."""
    numbers = count()
    return lambda: registration(f"http://{host}/callbacks/{next(numbers):032x}/")


def registration(callback_url: str, headers: str = "", rule: str = "") -> bytes:
    """Build the registration of a worker; ``rule`` is the query that says what it takes."""
    path = f"register-worker?{rule}" if rule else "register-worker"
    return post(path, headers=f"CPEE-CALLBACK: {callback_url}\r\n{headers}")


def keyed_registrations(
    robots: int, host: str = "127.0.0.1:9", rules: Sequence[str] = ("",)
) -> Callable[[], bytes]:
    """Return a function that builds registrations of ``robots`` process instances in turn.

    Each has a new callback, so it reports the instance's last job as done. They have the rules in
    turn; the number of robots must be a multiple of that of the rules.
    """
    numbers = count()

    def following() -> bytes:
        number = next(numbers)
        return registration(
            f"http://{host}/{number % robots}/callbacks/{number:032x}/",
            instance_headers(host, number % robots),
            rules[number % len(rules)],
        )

    return following


def instance_headers(host: str, number: int) -> str:
    """Return the headers by which an engine identifies the process instance."""
    return (
        f"CPEE-INSTANCE-URL: http://{host}/{number}/\r\n"
        f"CPEE-INSTANCE-UUID: 00000000-0000-4000-8000-{number:012x}\r\n"
        f"CPEE-ACTIVITY: a1\r\nCPEE-LABEL: Robot {number}\r\n"
    )
