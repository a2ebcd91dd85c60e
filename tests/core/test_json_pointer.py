"""JSON pointers, by the examples of RFC 6901."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.json_pointer import steps_of, value_at

TEXT = (
    rb'{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}'
)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", b'["bar","baz"]'),
        ("/foo/0", b'"bar"'),
        ("/foo/2", None),
        ("/foo/00", None),
        ("/foo/-", None),
        ("/", b"0"),
        ("/a~1b", b"1"),
        ("/c%d", b"2"),
        ("/e^f", b"3"),
        ("/g|h", b"4"),
        ("/i\\j", b"5"),
        ('/k"l', b"6"),
        ("/ ", b"7"),
        ("/m~0n", b"8"),
        ("/foo/0/x", None),
    ],
)
def test_the_value_at_a_pointer(pointer: str, value: bytes | None) -> None:
    """Members and items, and nothing where the text has none."""
    assert value_at(TEXT, steps_of(pointer)) == value


@pytest.mark.parametrize("pointer", ["", "foo", "/a~", "/a~2b"])
def test_what_is_no_pointer(pointer: str) -> None:
    """The whole text is not one, either: it is a customer's name that is looked for."""
    with pytest.raises(ValueError, match="a JSON pointer is like"):
        steps_of(pointer)
