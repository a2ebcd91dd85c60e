"""A server whose backups never end: ``python -m tests.crash.halted_backups serve …``."""

from __future__ import annotations

from threading import Event

from sanic_dispatch.cli.main import main
from sanic_dispatch.storage.backup import StoppablePace


def halt(_: StoppablePace) -> None:
    """Rest for ever."""
    Event().wait()


if __name__ == "__main__":
    StoppablePace.rest = halt  # type: ignore[method-assign]
    main()
