"""Input is strict JSON or refused; accepted JSON keeps its bytes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.errors import InvalidJson
from sanic_dispatch.strict_json import (
    MAX_DEPTH,
    array_entries,
    byte_at,
    object_at,
    one_object,
    parse,
    parse_again,
)

TEXTS = st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | TEXTS
LEAVES |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)


# ---- values from outside


@given(value=VALUES, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_all_json_is_accepted(value: Any, indent: int | None, ascii_only: bool) -> None:
    """All JSON is accepted, with any blanks and escapes."""
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Expecting value at character 0"),
        (b" ", "Expecting value at character 1"),
        (b"\xef\xbb\xbf1", "Expecting value at character 0"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        ('"x"'.encode("utf-16"), "not UTF-8 at byte 0"),
        (b"NaN", "NaN is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"[1, Infinity]", "Infinity is not JSON"),
        (b"1e999", "a number is out of range"),
        (b"-1e999", "a number is out of range"),
        (b"-", "Expecting value"),
        (b"01", "Extra data at character 1"),
        (b"1.", "Extra data at character 1"),
        (b".5", "Expecting value"),
        (b"+1", "Expecting value"),
        (b"0x10", "Extra data"),
        ("\u0661".encode(), "Expecting value"),
        (b"'x'", "Expecting value"),
        (b'"\n"', "Invalid control character"),
        (b'"\x00"', "Invalid control character"),
        (b'"\\x41"', "Invalid \\\\escape"),
        (b'"\\u12"', "Invalid \\\\uXXXX escape"),
        (b'"\\ud800"', "a lone surrogate"),
        (b'{"a":["\\uDFFF"]}', "a lone surrogate"),
        (b'{"\\udc00":1}', "a lone surrogate"),
        (b"[1,]", "at character"),
        (b'{"a":1,}', "at character"),
        (b"{a:1}", "at character"),
        (b"[1 2]", "at character"),
        (b"1 2", "Extra data at character 2"),
        (b"\xc2\xa01", "Expecting value"),
        (b"tru", "Expecting value"),
        (b"1" * 5000, "too many digits"),
        (b"[" * 100_000, "nested deeper than 127"),
        (b"[" * 1_025 + b"]" * 1_025, "nested deeper than 127"),
    ],
)  # fmt: skip
def test_other_texts_are_refused(raw: bytes, reason: str) -> None:
    """The reason has the position of the error."""
    for read in (parse, parse_again):
        with pytest.raises(InvalidJson, match=reason):
            read(raw)


@pytest.mark.parametrize("raw", [b'"\\ud83c\\udf79"', b'"\\\\ud800"', b'"\\u00e4"'])
def test_whole_characters(raw: bytes) -> None:
    """Both halves of a surrogate pair are needed, and an escaped backslash begins no escape."""
    assert parse(raw) == json.loads(raw)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"[{":', b"}")])
def test_the_depth_is_exact(opening: bytes, closing: bytes) -> None:
    """The maximum depth is accepted, one more is not; brackets in strings do not count."""
    inner = b'"[[[[\\"{{{{"'
    for read in (parse, parse_again):
        read(opening * MAX_DEPTH + inner + closing * MAX_DEPTH)
        with pytest.raises(InvalidJson, match="nested deeper than 127"):
            read(opening * (MAX_DEPTH + 1) + inner + closing * (MAX_DEPTH + 1))


def test_wide_is_not_deep() -> None:
    """Brackets side by side add no depth."""
    assert parse(b"[" + b"[],{}," * 1000 + b"[]]")


def test_a_string_of_brackets_is_not_deep() -> None:
    """Nor do brackets in a string, also where the text has no others."""
    text = "[{" * MAX_DEPTH
    for read in (parse, parse_again):
        assert read(b'"%b"' % text.encode()) == text


@given(value=VALUES, limit=st.integers(0, 6))
def test_the_depth_of_the_text_is_that_of_the_value(value: Any, limit: int) -> None:
    """The depth counted in the text equals that of the value."""
    raw = json.dumps(value).encode()
    if depth_of(value) <= limit:
        assert parse(raw, limit) == value
    else:
        with pytest.raises(InvalidJson):
            parse(raw, limit)


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(depth_of, children), default=0)


# ---- both parsers take the same


def outcome_of(read: Callable[[bytes], object], raw: bytes) -> tuple[str, str]:
    """Return why a text is refused, empty if it is not, and its value."""
    try:
        return "", repr(read(raw))
    except InvalidJson as error:
        return str(error), ""


def suite() -> dict[str, bytes]:
    """Return the texts of the JSON Parsing Test Suite by name; y is valid, n is not, i is open."""
    path = Path(__file__).parent / "support" / "json_test_suite.json"
    cases = {name: b64decode(text) for name, text in json.loads(path.read_text())["cases"].items()}
    assert len(cases) == 316
    cases["n_structure_100000_opening_arrays"] = b"[" * 100_000
    cases["n_structure_open_array_object"] = b'[{"":' * 50_000 + b"\n"
    return cases


def test_the_json_parsing_test_suite() -> None:
    """All that has to be valid is, and nothing that must not be; both say the same of each text."""
    outcomes = {name: outcome_of(parse, raw) for name, raw in suite().items()}
    assert [name for name, (reason, _) in outcomes.items() if name[0] == "y" and reason] == []
    assert [name for name, (reason, _) in outcomes.items() if name[0] == "n" and not reason] == []
    assert outcomes == {name: outcome_of(parse_again, raw) for name, raw in suite().items()}


PIECES = [
    b'"', b"\\", b"\\u", b"\\ud83c", b"\\udf79", b"d800", b"[", b"]", b"{", b"}", b",", b":",
    b"-", b"+", b"0", b"1", b".", b"e", b"E5", b"308", b"1e308", b"9" * 300, b"true", b"nul",
    b"NaN", b" ", b"\n", b"\x00", b"\x7f", b"\xc3\xa4", b"\xe2\x80\xa8", b"\xf0\x9f\x8d\xb9",
    b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf",
]  # fmt: skip


@settings(max_examples=1000)
@given(
    value=VALUES, ascii_only=st.booleans(), at=st.floats(0, 1),
    pieces=st.lists(st.sampled_from(PIECES), max_size=6), dropped=st.integers(0, 4),
)  # fmt: skip
def test_odd_texts(
    value: Any, ascii_only: bool, at: float, pieces: list[bytes], dropped: int
) -> None:
    """Whatever stands in the middle of a text, its value or the reason is the same."""
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    middle = int(at * len(raw))
    odd = raw[:middle] + b"".join(pieces) + raw[middle + dropped :]
    assert outcome_of(parse, odd) == outcome_of(parse_again, odd)


# ---- from files


@given(objects=st.lists(OBJECTS, max_size=5), indent=st.sampled_from([None, 0, 3]))
def test_entries_of_any_array(objects: list[dict[str, Any]], indent: int | None) -> None:
    """Each entry has the values of its object and their raw text, with any blanks."""
    content = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    entries = list(array_entries(content, object_at))
    assert [entry.values for entry in entries] == objects
    for entry in entries:
        assert json.loads(entry.encoded()) == entry.values
        for key in (key for key in entry.values if json.dumps(key) == f'"{key}"'):
            raw = entry.raw(key)
            assert json.loads(raw) == entry.values[key]
            assert raw == raw.strip()
        assert entry.text[entry.at] == "{"


def test_raw_text_is_kept() -> None:
    """Blanks, escapes and numbers stay as they were written."""
    [entry] = array_entries(
        b'[ {"a" : 1 , "data":{ "x" : 1.50, "x":[ ] }\n, "b":"\\u0041"} ]', object_at
    )
    assert entry.raw("data") == '{ "x" : 1.50, "x":[ ] }'
    assert entry.raw("b") == '"\\u0041"'
    with pytest.raises(KeyError):
        entry.raw("x")


def test_a_key_in_a_text_is_no_key() -> None:
    """Text inside a value that looks like a key is not taken for one."""
    [entry] = array_entries(b'[{"id":"\\",\\"data\\":1","n":{"data":2},"data":3}]', object_at)
    assert entry.raw("data") == "3"


@given(content=st.binary(max_size=40))
def test_anything_else_is_refused(content: bytes) -> None:
    """Any bytes are an array of objects, or raise InvalidJson."""
    try:
        entries = list(array_entries(content, object_at))
    except InvalidJson:
        return
    assert json.loads(content) == [entry.values for entry in entries]


def test_one_object_only() -> None:
    """An object with blanks around it is accepted, with anything behind it refused."""
    assert one_object(b' {"a":1}\n').values == {"a": 1}
    for content in (b"", b"[]", b'{"a":1} {}', b'{"a":1'):
        with pytest.raises(InvalidJson, match="at byte"):
            one_object(content)


def test_characters_and_bytes() -> None:
    """The byte position of a character counts the bytes before it."""
    content = "aä€🍹z".encode()
    assert [byte_at(content, at) for at in range(6)] == [0, 1, 3, 6, 10, 11]
