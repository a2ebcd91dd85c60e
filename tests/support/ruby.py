"""The part of Ruby that the example models use: assignments and expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'[^']*'|"[^"#]*")|(?P<number>\d+)|(?P<name>[a-z_]\w*)"""
    r"""|(?P<sign>&&|\|\||==|!=|[!?:=;.\[\]+()]))"""
)
_WORDS = {"nil": None, "true": True, "false": False}


class RubyError(Exception):
    """Code that is invalid Ruby, or is not supported here."""


@dataclass
class Scope:
    """The variables of code: ``data`` and ``endpoints`` can be changed, others are read-only."""

    data: dict[str, Any]
    endpoints: dict[str, Any]
    result: Any = None
    headers: Mapping[str, str] | None = None


def is_true(value: Any) -> bool:
    """Return whether a value is neither nil nor false."""
    return value is not None and value is not False


def run(code: str, scope: Scope) -> None:
    """Run statements, one after the other."""
    for statement in code.split(";"):
        if statement.strip():
            _Parser(statement, scope).statement()()


def evaluate(code: str, scope: Scope) -> Any:
    """Return the value of an expression."""
    return _Parser(code, scope).whole()()


Value = Callable[[], Any]
"""A value that is evaluated when it is needed: the right side of ``nil && ...`` never is."""


class _Parser:
    """A recursive-descent parser: one method for each level of operators."""

    def __init__(self, code: str, scope: Scope) -> None:
        self._scope = scope
        self._tokens: list[tuple[str, str]] = []
        at, code = 0, code.strip()
        while at < len(code):
            found = _TOKEN.match(code, at)
            if found is None:
                raise RubyError(f"cannot read {code[at:]!r}")
            self._tokens.append((str(found.lastgroup), found[0].strip()))
            at = found.end()

    def statement(self) -> Value:
        signs = [token for _, token in self._tokens]
        if signs[1:2] != ["."] or signs[3:4] != ["="]:
            return self.whole()
        store, name = self._store(signs[0]), signs[2]
        self._tokens = self._tokens[4:]
        value = self.whole()
        return lambda: store.update({name: value()})

    def whole(self) -> Value:
        value = self._choice()
        if self._tokens:
            raise RubyError(f"what is {self._tokens[0][1]!r} here for?")
        return value

    def _store(self, name: str) -> dict[str, Any]:
        stores = {"data": self._scope.data, "endpoints": self._scope.endpoints}
        if name not in stores:
            raise RubyError(f"{name} is neither data nor endpoints")
        return stores[name]

    def _choice(self) -> Value:
        condition = self._either()
        if not self._takes("?"):
            return condition
        yes = self._choice()
        self._must(":")
        no = self._choice()
        return lambda: yes() if is_true(condition()) else no()

    def _either(self) -> Value:
        left = self._both()
        if not self._takes("||"):
            return left
        right = self._either()
        return lambda: value if is_true(value := left()) else right()

    def _both(self) -> Value:
        left = self._same()
        if not self._takes("&&"):
            return left
        right = self._both()
        return lambda: right() if is_true(value := left()) else value

    def _same(self) -> Value:
        left = self._sum()
        for sign, is_wanted in (("==", True), ("!=", False)):
            if self._takes(sign):
                right = self._sum()
                return lambda is_wanted=is_wanted: (left() == right()) is is_wanted
        return left

    def _sum(self) -> Value:
        left = self._negation()
        if not self._takes("+"):
            return left
        right = self._sum()
        return lambda: _text(left()) + _text(right())

    def _negation(self) -> Value:
        if not self._takes("!"):
            return self._indexed()
        value = self._negation()
        return lambda: not is_true(value())

    def _indexed(self) -> Value:
        value = self._one()
        while self._takes("["):
            value = partial(_at, value, self._choice())
            self._must("]")
        return value

    def _one(self) -> Value:
        kind, token = self._next()
        if kind == "text":
            return lambda: token[1:-1]
        if kind == "number":
            return lambda: int(token)
        if kind == "name":
            return self._named(token)
        if token != "(":
            raise RubyError(f"what is {token!r} here for?")
        value = self._choice()
        self._must(")")
        return value

    def _named(self, name: str) -> Value:
        if name in _WORDS:
            return lambda: _WORDS[name]
        if name in ("result", "headers"):
            return lambda: getattr(self._scope, name)
        if name in ("data", "endpoints"):
            self._must(".")
            store, (_, key) = self._store(name), self._next()
            return lambda: store.get(key)
        raise RubyError(f"{name}: a model must not need that")

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise RubyError("something is missing at the end")
        return self._tokens.pop(0)

    def _takes(self, sign: str) -> bool:
        if self._tokens and self._tokens[0] == ("sign", sign):
            self._tokens.pop(0)
            return True
        return False

    def _must(self, sign: str) -> None:
        if not self._takes(sign):
            raise RubyError(f"{sign!r} is missing")


def _at(of: Value, key: Value) -> Any:
    """Evaluate ``of[key]``: the entry of a hash, or of a text that part if it is in there."""
    found, name = of(), key()
    if isinstance(found, str) and isinstance(name, str):
        return name if name in found else None
    if isinstance(found, Mapping):
        return found.get(name)
    raise RubyError(f"undefined method '[]' for {found!r}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RubyError(f"no implicit conversion of {value!r} into String")
    return value
