"""Rules: how they are read, what they admit, and which are invalid."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from sanic_dispatch.core.rules import (
    ANYTHING,
    MAX_CONDITIONS,
    arguments_of,
    as_argument,
    members_of,
    normal_form,
    rule_of,
)
from sanic_dispatch.errors import InvalidMatch


def admits(query: str, data: Any) -> bool:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return rule_of(normal_form(arguments_of(query))).admits(members_of(body))


@pytest.mark.parametrize(
    ("query", "data", "is_admitted"),
    [
        ("match.drink=mojito", {"drink": "mojito"}, True),
        ("match.drink=mojito|gin", {"drink": "gin"}, True),
        ("match.drink=mojito", {"drink": "Mojito"}, False),
        ("match.drink=mojito", {}, False),
        ("match.drink=mojito", [1], False),
        ("match.drink=mojito", "mojito", False),
        ("not.drink=beer", {"drink": "beer"}, False),
        ("not.drink=beer", {"drink": "gin"}, True),
        ("not.drink=beer", {}, True),
        ("not.drink=beer", [1], True),
        ("match.a.b=1", {"a": {"b": 1}}, True),
        ("match.a.b=1", {"a": {"b": "1"}}, True),
        ("match.a.b=1", {"a": {"b": 1.0}}, False),
        ("match.a.b=1", {"a": [1]}, False),
        ("match.size=1.50", b'{"size": 1.50}', True),
        ("match.size=1.5", b'{"size": 1.50}', False),
        ("match.size=1e3", b'{"size": 1e3}', True),
        ("match.alcohol=false", {"alcohol": False}, True),
        ("match.alcohol=false", {"alcohol": 0}, False),
        ("match.note=null", {"note": None}, False),
        ("not.note=null", {"note": None}, True),
        ("match.note=", {"note": ""}, True),
        ("match.drink=a||b|c", {"drink": "a|b"}, True),
        ("match.drink=a||b|c", {"drink": "a"}, False),
        ("match.drink=mojito&not.size=xl", {"drink": "mojito", "size": "xl"}, False),
        ("match.drink=mojito&match.drink=gin", {"drink": "gin"}, False),
        ("match.drink=a|b&match.drink=b|c", {"drink": "b"}, True),
        ("match.drink=pi%C3%B1a%20colada", {"drink": "piña colada"}, True),
        ("match.drink=50%25%26more%3D1", {"drink": "50%&more=1"}, True),
    ],
)
def test_what_a_rule_admits(query: str, data: Any, is_admitted: bool) -> None:
    """Texts, numbers as written and booleans; dots lead into objects; all conditions must hold."""
    assert admits(query, data) is is_admitted


@pytest.mark.parametrize("texts", [["|x", "y"], ["|x", ""], ["x|", "y"], ["x|", "|y"], ["|", ""]])
def test_a_list_of_texts_reads_as_it_was_given(texts: list[str]) -> None:
    """Also where they have bars."""
    (condition,) = rule_of(normal_form([as_argument("match.drink", texts)])).conditions
    assert condition.values == set(texts)


def test_of_a_list_of_texts_one_may_begin_with_a_bar() -> None:
    """In a rule's text, two of them would look like one that ends with a bar."""
    with pytest.raises(InvalidMatch):
        as_argument("match.drink", ["|x", "|y"])


def test_one_rule_has_one_text() -> None:
    """Whatever the order of conditions and alternatives; other arguments are not conditions."""
    texts = {
        normal_form(arguments_of(query))
        for query in (
            "match.drink=gin|mojito&not.size=xl",
            "not.size=xl&lost=&match.drink=mojito|gin|gin&token=secret",
            "not.size=xl&not.size=xl&match.drink=mojito|gin",
        )
    }
    assert texts == {"match.drink=gin|mojito&not.size=xl"}
    assert normal_form(arguments_of("lost=&token=secret")) == ANYTHING


def test_a_rule_is_read_back_as_it_was() -> None:
    """Also with bars and nothing at the ends of alternatives, which are all tried here."""
    for length in range(8):
        for value in map("".join, product("|a\0", repeat=length)):
            once = normal_form([("match.drink", value)])
            assert normal_form(arguments_of(once)) == once
            assert rule_of(once).conditions[0].values == frozenset(split(value))


def split(value: str) -> list[str]:
    """Split a value at its bars, character by character."""
    found, rest = [""], value
    while rest:
        if rest.startswith("||"):
            found[-1] += "|"
            rest = rest[2:]
            continue
        if rest.startswith("|"):
            found.append("")
        else:
            found[-1] += rest[0]
        rest = rest[1:]
    return found


@pytest.mark.parametrize(
    ("query", "where", "why"),
    [
        ("match.=1", "match.", "names no member: match.drink and not.size.unit do"),
        ("not.a..b=1", "not.a..b", "names no member: match.drink and not.size.unit do"),
        ("match.a.b.c.d.e.f.g.h.i=1", "match.a.b.c.d.e.f.g.h.i",
         "has more than 8 members in its path"),
        ("&".join(f"match.m{n}=1" for n in range(MAX_CONDITIONS + 1)), "the rule",
         "has more than 16 conditions"),
        ("match.drink=" + "x" * 4096, "the rule", "is longer than 4096 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_rule(query: str, where: str, why: str) -> None:
    """The error says where, and why."""
    with pytest.raises(InvalidMatch) as raised:
        normal_form(arguments_of(query))
    assert (raised.value.where, raised.value.why) == (where, why)


def test_at_the_limits() -> None:
    """Eight members, sixteen conditions, and data that is nested deeply or no JSON."""
    assert admits(
        "match.a.b.c.d.e.f.g.h=1", {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}
    )
    query = "&".join(f"not.m{n}=1" for n in range(MAX_CONDITIONS))
    assert admits(query, {"m": 1})
    assert not admits("match.a=1", b'{"a":' * 5000 + b"1" + b"}" * 5000)
    assert admits("match.a=1", b'{"b":[' + b",".join([b"1"] * 10**6) + b'],"a":1}')
    assert not admits("match.a=1", b"{")
