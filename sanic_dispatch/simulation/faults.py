"""How an instance misbehaves when a job is put to its callback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Faults:
    """What goes wrong with each PUT from now on; the default is nothing. Change it at any time.

    First the job is taken or not, then the answer is delayed, then it is given, or not.
    """

    take: bool = True
    """Whether the job is taken (and the process advances) before anything else goes wrong."""
    delay_s: float = 0.0
    """Seconds between taking and answering."""
    status: int | None = None
    """The status that is answered in place of the right one."""
    close: bool = False
    """Close the connection in place of an answer."""
    hang: bool = False
    """Never answer and keep the connection open."""
