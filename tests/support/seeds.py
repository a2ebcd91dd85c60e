"""Seeds of random tests, and whether they may take long."""

from __future__ import annotations

import os
import random
import zlib

IS_TORTURE = "TORTURE" in os.environ
"""Whether everything is tried that takes long: ``make torture``."""

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.SystemRandom().random())


def seed_of(variable: str) -> int:
    """Return the seed in an environment variable, or a new one for each run.

    All processes of a run get the same one, since all of them have to collect the same tests.
    """
    return int(os.environ.get(variable, zlib.crc32(f"{variable} {_RUN}".encode())))
