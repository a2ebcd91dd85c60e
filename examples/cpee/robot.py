"""A robot for trying things out: mixes for some seconds, then answers through the callback.

    python examples/cpee/robot.py

A process calls it with POST /mix, and the argument ``seconds``. The answer is 202 with
``CPEE-CALLBACK: true`` and no body, so the engine is free for all others while the robot works.
The result comes by PUT to the callback: {"ok": true}, or {"ok": false, "reason": "no ice"}.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

TRIES = 12
"""How many times to try to deliver a result: a stopped instance's callback takes none."""


class Robot(BaseHTTPRequestHandler):
    """Answers every call with the promise of a result."""

    protocol_version = "HTTP/1.1"
    fail_rate = 0.0

    def do_POST(self) -> None:
        """Promise the result, and bring it later."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seconds = float(parse_qs(body.decode()).get("seconds", ["5"])[0])
        failed = random.random() < self.fail_rate
        result = {"ok": False, "reason": "no ice"} if failed else {"ok": True}
        self.send_response(202)
        self.send_header("CPEE-CALLBACK", "true")
        self.send_header("Content-Length", "0")
        self.end_headers()
        after(seconds, bring, self.headers["CPEE-CALLBACK"], json.dumps(result).encode())


def bring(callback: str, result: bytes, tries: int = TRIES) -> None:
    """PUT the result to the callback, every 5 s until it is taken, ``tries`` times in all."""
    headers = {"Content-Type": "application/json"}
    try:
        urlopen(Request(callback, result, headers, method="PUT"), timeout=30).close()
    except OSError:
        if tries > 1:
            after(5, bring, callback, result, tries - 1)


def after(seconds: float, what: Callable[..., None], *arguments: object) -> None:
    """Call ``what`` in ``seconds``, unless the robot has ended by then."""
    timer = threading.Timer(seconds, what, arguments)
    timer.daemon = True
    timer.start()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A robot for trying things out.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--fail-rate", type=float, default=0.0, metavar="SHARE")
    options = parser.parse_args()
    Robot.fail_rate = options.fail_rate
    with ThreadingHTTPServer((options.host, options.port), Robot) as server:
        print(f"A robot mixes at http://{options.host}:{server.server_port}/mix", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
