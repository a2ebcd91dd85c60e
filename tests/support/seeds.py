"""Seeds of random tests, and whether they may take long."""

from __future__ import annotations

import os
import random
import zlib

IS_TORTURE = "TORTURE" in os.environ
"""Whether everything is tried that takes long: ``make torture``."""

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.SystemRandom().random())


def seed_of(variable: str, in_a_check: int | None = None) -> int:
    """Return the seed in an environment variable, or a new one for each run.

    All processes of a run get the same one, since all of them have to collect the same tests. Where
    everything depends on the seed, give one for checks: they judge a change, by the same examples
    each time, and the torture tries others.
    """
    if in_a_check is not None and not IS_TORTURE:
        return int(os.environ.get(variable, in_a_check))
    return int(os.environ.get(variable, zlib.crc32(f"{variable} {_RUN}".encode())))
