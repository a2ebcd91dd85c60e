"""A worker in plain Python: ask for a job, wait for it, work, report, ask again.

    python examples/http/worker.py http://localhost:2567/ --name "Robot 1"

It needs nothing but the standard library. It asks with POST /register-worker and names a callback
of its own. The job comes in the answer (200), or later by PUT to the callback (202). Replace
``work`` by your own.

Two things keep it from losing a job. Its name is its key, the same after a restart, so it must be
the only worker of that name. And where an answer may have been lost, it asks with ``?lost``: a job
that it holds and has not reported is given to it again. So a job can come twice, with the same id.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import secrets
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ASK_AGAIN_S = 60.0
"""How long it waits for a PUT before it registers again; that changes nothing if it is known."""

TRY_AGAIN_S = 1.0
"""How long it waits after no answer, or one that says that it is not possible now."""

GOODBYE_S = 2.0
"""How long it tries to leave the line at Ctrl-C."""

NOT_NOW = (408, 429)
"""Statuses, besides 5xx, after which the same request may succeed."""


class Job(NamedTuple):
    """A job, and the receipt that proves that this worker got it."""

    id: str
    data: Any
    receipt: str

    @classmethod
    def read(cls, body: bytes, headers: Any) -> Job:
        """Read it from an answer or a PUT: both have the same body and header."""
        job = json.loads(body)["Job"]
        return cls(job["id"], job["data"], headers["Job-Receipt"])


class Inbox:
    """The callbacks: a web server that takes one PUT for each path that waits."""

    def __init__(self, host: str, port: int) -> None:
        self._waiting: set[str] = set()
        self._jobs: queue.Queue[Job] = queue.Queue()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                """Take a job. Answer at once and work later: the dispatcher waits for this."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_taken = inbox.take(self.path, Job.read(body, self.headers))
                self.answer(200 if is_taken else 404)

            def do_GET(self) -> None:
                """Say whether this callback still waits: 200 for yes, 404 for no."""
                self.answer(200 if inbox.is_waiting(self.path) else 404)

            def answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: what matters is printed by the worker."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._base = f"http://{host}:{self._server.server_port}/callback/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def new_callback(self) -> str:
        """Open a callback that nobody can guess, and return its address."""
        name = secrets.token_hex(16)
        self._waiting = {"/callback/" + name}
        return self._base + name

    def is_waiting(self, path: str) -> bool:
        """Tell whether this callback has not got its job yet."""
        return path in self._waiting

    def take(self, path: str, job: Job) -> bool:
        """Take a job and use its callback up; refuse it where that waits no longer."""
        try:
            self._waiting.remove(path)
        except KeyError:
            return False
        self._jobs.put(job)
        return True

    def next_job(self, within_s: float) -> Job | None:
        """Return the job that came; None if none came in time."""
        try:
            return self._jobs.get(timeout=within_s)
        except queue.Empty:
            return None


class Worker:
    """One worker and the dispatcher that it works for."""

    def __init__(self, url: str, name: str, inbox: Inbox, token: str = "") -> None:
        self._url = url.rstrip("/") + "/"
        self._inbox = inbox
        self._callback = ""
        self._headers = {"CPEE-INSTANCE-UUID": name, "CPEE-ACTIVITY": "1", "CPEE-LABEL": name}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def next_job(self) -> Job:
        """Ask for a job until there is one. Raises HTTPError if the dispatcher says no."""
        self._callback = self._inbox.new_callback()
        lost = True  # this may be a restart in the midst of a job
        while True:
            try:
                path = "register-worker?lost" if lost else "register-worker"
                body, headers = self._send("POST", path, {"CPEE-CALLBACK": self._callback})
            except OSError as error:
                _wait_after(error)
                lost = True
                continue
            if body:  # 200: a job was waiting. 202 has no body: it comes by PUT
                return Job.read(body, headers)
            if job := self._inbox.next_job(ASK_AGAIN_S):
                return job

    def complete(self, job: Job, result: Any) -> bool:
        """Report that the job is done; return whether that was accepted."""
        return self._report(job, "complete", result)

    def fail(self, job: Job, reason: str, *, retry: bool = True) -> None:
        """Report that the job cannot be done here; with ``retry`` another worker may try.

        The reason becomes one line of at most 200 characters, since no other is accepted.
        """
        line = "".join(each if each.isprintable() else " " for each in reason)[:200]
        self._report(job, "fail", {"reason": line, "retry": retry})

    def leave(self) -> None:
        """Leave the line, or the next job would be sent here first."""
        with suppress(OSError):  # it does not wait, or the dispatcher does not answer
            headers = {"CPEE-CALLBACK": self._callback}
            self._send("DELETE", "register-worker", headers, within_s=GOODBYE_S)

    def _report(self, job: Job, what: str, body: Any) -> bool:
        """Report until there is an answer: a repeat changes nothing."""
        headers = {"Job-Receipt": job.receipt, "Content-Type": "application/json"}
        while True:
            try:
                self._send("POST", f"jobs/{job.id}/{what}", headers, json.dumps(body).encode())
                return True
            except HTTPError as error:
                if _is_final(error):  # somebody else has the job by now, or it was cancelled
                    print(f"report refused: {error.code}", flush=True)
                    return False
                _wait_after(error)
            except OSError as error:
                _wait_after(error)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes = b"",
        within_s: float = 30,
    ) -> tuple[bytes, Any]:
        """Send a request; return body and headers of the answer. Raises OSError, HTTPError too."""
        request = Request(self._url + path, body, {**self._headers, **headers}, method=method)
        with urlopen(request, timeout=within_s) as response:
            return response.read(), response.headers


def _is_final(error: HTTPError) -> bool:
    return error.code < 500 and error.code not in NOT_NOW


def _wait_after(error: OSError) -> None:
    """Wait before the next try; raise what no other try would change, such as a wrong token."""
    if isinstance(error, HTTPError) and _is_final(error):
        raise error
    print(f"no answer: {error}", flush=True)
    time.sleep(TRY_AGAIN_S)


def work(data: Any, seconds: float) -> Any:
    """Do the work, and return its result: any JSON."""
    time.sleep(seconds)
    return {"made": data}


def main() -> None:
    """Work until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A worker for trying things out.")
    parser.add_argument("url", nargs="?", default="http://localhost:2567/")
    parser.add_argument("--name", default="Robot 1", help="its key: no other worker may have it")
    parser.add_argument("--host", default="127.0.0.1", help="where the dispatcher can call it")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a job takes")
    options = parser.parse_args()
    token = os.environ.get("WORKER_TOKEN", "")
    worker = Worker(options.url, options.name, Inbox(options.host, options.port), token)
    try:
        while True:
            print("waiting for a job", flush=True)
            try:
                job = worker.next_job()
            except HTTPError as error:
                raise SystemExit(f"the dispatcher says no: {error.read().decode()}") from error
            print(f"working on {json.dumps(job.data)}", flush=True)
            try:
                result = work(job.data, options.seconds)
            except Exception as error:  # whatever it is: the job must not wait for a lease
                worker.fail(job, str(error))
                print(f"failed: {error}", flush=True)
            else:
                if worker.complete(job, result):
                    print("done", flush=True)
                else:  # too large, for example: without a report it would come again
                    worker.fail(job, "its result was refused", retry=False)
    except KeyboardInterrupt:
        worker.leave()


if __name__ == "__main__":
    main()
