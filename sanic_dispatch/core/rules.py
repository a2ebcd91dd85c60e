"""Rules: which jobs a worker takes, as it says at its registration.

A rule is conditions on members of a job's data, all of which must hold. It is written as in the
query of a registration, ``match.drink=mojito|negroni&not.size=xl``, and kept as that text, in one
normal form; the empty text is the rule of a worker that takes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from sanic_dispatch.core.value import Value
from sanic_dispatch.errors import InvalidMatch

ANYTHING = ""
"""The rule of a worker that takes any job."""

EVERY_ROBOT = frozenset({ANYTHING})
"""The rules of robots that all make everything: that one alone."""

MATCH, NOT = "match.", "not."
"""How the names of arguments begin that are conditions."""

MAX_DEPTH = 8
MAX_CONDITIONS = 16
MAX_RULE_BYTES = 4096
MAX_ARGUMENTS = 1000

MAX_KNOWN_BYTES = 4096
"""How large the data of a job may be whose members are kept for a while."""

_BAR = "\ud800"
"""Stands for a bar within an alternative: no text that was decoded has a lone surrogate."""

_SAFE = "|:/,;@ "
"""What is left as it is in a rule's text, so that people can read it."""


class Condition(Value, frozen=True):
    """A member, and the texts of which it has to equal one; or none, if the condition is negated.

    A member that is missing, or not a string, number or boolean, equals nothing.
    """

    path: tuple[str, ...]
    values: frozenset[str]
    is_negated: bool

    def holds(self, members: JsonMembers) -> bool:
        """Whether it holds for the members of a job's data."""
        return (text_of(member_of(members, self.path)) in self.values) is not self.is_negated


class Rule(Value, frozen=True):
    """A rule that was read: its conditions must all hold."""

    conditions: tuple[Condition, ...]

    def admits(self, members: JsonMembers) -> bool:
        """Whether a job whose data has these members may be given."""
        return all(condition.holds(members) for condition in self.conditions)

    def admits_in_part(self, members: JsonMembers) -> bool:
        """The same by the conditions on these members alone."""
        return all(
            each.holds(members)
            for each in self.conditions
            if len(each.path) == 1 and each.path[0] in members
        )


def normal_form(arguments: Iterable[tuple[str, str]]) -> str:
    """Return the rule of a registration's arguments; those that are not conditions are ignored.

    Raises InvalidMatch.
    """
    conditions = set()
    for name, value in arguments:
        if name.startswith((MATCH, NOT)):
            condition = _condition(name, value)
            conditions.add((name, _joined(condition.values)))
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidMatch("the rule", f"has more than {MAX_CONDITIONS} conditions")
    text = urlencode(sorted(conditions), safe=_SAFE, quote_via=quote)
    if len(text.encode()) > MAX_RULE_BYTES:
        raise InvalidMatch("the rule", f"is longer than {MAX_RULE_BYTES} bytes")
    return text


@lru_cache(maxsize=256)  # workers send the same again and again: 8 µs each time
def rule_in(text: str) -> str:
    """Return the rule in a query, or in a form-encoded body. Raises InvalidMatch."""
    return normal_form(arguments_of(text))


def as_argument(name: str, values: Iterable[str]) -> tuple[str, str]:
    """Return the argument that says that a member is one of these values, as ``normal_form`` takes.

    ``name`` is that of the argument: ``match.drink``. Raises InvalidMatch.
    """
    alternatives = set(values)
    if len([each for each in alternatives if each.startswith("|")]) > 1:
        raise InvalidMatch(name, "has more than one text that begins with a bar")
    return name, _joined(alternatives)


@lru_cache(maxsize=1024)
def rule_of(text: str) -> Rule:
    """Return the rule with this text. Raises InvalidMatch."""
    return Rule(tuple(_condition(name, value) for name, value in arguments_of(text)))


def arguments_of(text: str) -> list[tuple[str, str]]:
    """Return the arguments in a query, or in a form-encoded body, in order. Raises InvalidMatch."""
    try:
        return parse_qsl(text, keep_blank_values=True, separator="&", max_num_fields=MAX_ARGUMENTS)
    except ValueError:
        raise InvalidMatch("the request", f"has more than {MAX_ARGUMENTS} arguments") from None


def _condition(name: str, value: str) -> Condition:
    """Read one argument, such as ``match.drink`` and ``mojito|negroni``. Raises InvalidMatch."""
    kind, _, path = name.partition(".")
    members = tuple(path.split("."))
    if kind not in ("match", "not") or not all(members):
        raise InvalidMatch(name, "names no member: match.drink and not.size.unit do")
    if len(members) > MAX_DEPTH:
        raise InvalidMatch(name, f"has more than {MAX_DEPTH} members in its path")
    return Condition(members, frozenset(_alternatives(value)), kind == "not")


def _alternatives(value: str) -> list[str]:
    """Split a value at its bars; ``||`` is a bar within an alternative."""
    return [each.replace(_BAR, "|") for each in value.replace("||", _BAR).split("|")]


def _joined(alternatives: Iterable[str]) -> str:
    """Return the value that ``_alternatives`` splits into these, in one order.

    The one that begins with a bar is first, since ``|||`` reads as a bar that ends the one before,
    and an empty one last, since it would make two separators a bar.
    """
    in_order = sorted(alternatives, key=lambda each: (not each.startswith("|"), not each, each))
    return "|".join(each.replace("|", "||") for each in in_order)


JsonMembers = Mapping[str, bytes]
"""The members of an object, each as its JSON text."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


@lru_cache(maxsize=8)  # a job is looked at several times when it comes in
def members_of(data: bytes) -> JsonMembers:
    """Return the members of a job's data; none if it is not an object.

    What is in them is not decoded: of a job with 2 MB of numbers that takes 5 ms, not a second.
    """
    return {name: bytes(raw) for name, raw in _raw_members(data).items()}


def _raw_members(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _OBJECT.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return {}


def member_of(
    members: JsonMembers | Mapping[str, msgspec.Raw], path: Sequence[str]
) -> bytes | None:
    """Return the JSON text of the member at a path; None if there is none."""
    found = members.get(path[0])
    raw = None if found is None else bytes(found)
    for name in path[1:]:
        raw = members_of(raw).get(name) if raw is not None else None
    return raw


def texts_at(data: bytes, paths: tuple[tuple[str, ...], ...]) -> tuple[str | None, ...]:
    """Return the texts that rules compare of the members at some paths."""
    find = _texts_at_known if len(data) <= MAX_KNOWN_BYTES else _texts_at
    return find(data, paths)


def _texts_at(data: bytes, paths: tuple[tuple[str, ...], ...]) -> tuple[str | None, ...]:
    members = _raw_members(data)
    return tuple([text_of(member_of(members, path)) for path in paths])


_texts_at_known = lru_cache(maxsize=256)(_texts_at)
"""The same, of small data: each job of a batch is looked at three times, which takes 3 µs each."""


def text_of(raw: bytes | None) -> str | None:
    """Return the text that a rule compares; None for anything but a string, number or boolean."""
    if raw is None or raw[:1] in (b"{", b"[", b"n"):
        return None
    return _STRING.decode(raw) if raw.startswith(b'"') else raw.decode()
