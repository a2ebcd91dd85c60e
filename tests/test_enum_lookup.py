"""Members of enums are plain attributes of their classes while the service runs."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
from collections.abc import Iterator
from enum import Enum, EnumType

import sanic_dispatch.app
from sanic_dispatch.enum_lookup import use_plain_lookup

def enums(of: EnumType = Enum) -> Iterator[EnumType]:
    for each in of.__subclasses__():
        yield each
        yield from enums(each)

use_plain_lookup()
use_plain_lookup()  # nothing is left to do
assert not hasattr(EnumType, "__getattr__")
members = [(each, name) for each in enums() for name in each.__members__]
assert all(getattr(each, name) is each.__members__[name] for each, name in members)
print(len(members))
"""


def test_all_members_are_found_without_a_hook() -> None:
    """Those of the standard library, of Sanic and of all others that the service imports, too."""
    ran = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 500
