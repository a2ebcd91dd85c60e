"""Runs a process model as the engine does, with the part of its language that the examples use."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sanic_dispatch.simulation import CallFailed, Engine
from tests.support import ruby
from tests.support.ruby import Scope, is_true

P, D = "{http://cpee.org/ns/properties/2.0}", "{http://cpee.org/ns/description/1.0}"


class Process:
    """A testset, loaded into a new instance of an engine; ``run`` starts it.

    ``data`` and ``endpoints`` are its own, and can be changed before, as in the cockpit.
    """

    def __init__(self, engine: Engine, testset: Path | str) -> None:
        text = testset.read_text() if isinstance(testset, Path) else testset
        root = ElementTree.fromstring(text)
        self.data = _values(root, "dataelements")
        self.endpoints = _values(root, "endpoints")
        attributes = _values(root, "attributes")
        self.instance = engine.start_instance(attributes.pop("info"), attributes)
        model = root.find(f"{P}description/{D}description")
        assert model is not None
        self._model = model

    async def run(self) -> None:
        """Run to the end. Raises CallFailed, InstanceEnded and RubyError."""
        await self._all(self._model)
        self.instance.finish()

    def _scope(self, result: object = None, headers: Mapping[str, str] | None = None) -> Scope:
        return Scope(self.data, self.endpoints, result, _named(headers or {}))

    async def _all(self, parent: Element) -> None:
        for element in parent:
            await getattr(self, "_" + element.tag.removeprefix(D))(element)

    async def _loop(self, loop: Element) -> None:
        assert loop.get("mode") == "pre_test"
        while is_true(ruby.evaluate(loop.get("condition", ""), self._scope())):
            await self._all(loop)

    async def _parallel(self, parallel: Element) -> None:
        async with asyncio.TaskGroup() as group:
            for branch in parallel:
                group.create_task(self._all(branch))

    async def _choose(self, choose: Element) -> None:
        assert choose.get("mode") == "exclusive"
        for alternative in choose:
            if is_true(ruby.evaluate(alternative.get("condition", ""), self._scope())):
                await self._all(alternative)
                return

    async def _manipulate(self, manipulate: Element) -> None:
        ruby.run(manipulate.text or "", self._scope())

    async def _call(self, call: Element) -> None:
        code = {part.tag.removeprefix(D): part.text or "" for part in call.findall(f"{D}code/*")}
        ruby.run(code["prepare"], self._scope())
        endpoint = self.endpoints[call.get("endpoint", "")]
        arguments, headers = self._arguments(call)
        try:
            result = await self.instance.call(
                re.sub(r"^(https?)-post:", r"\1:", endpoint),
                call.get("id", ""),
                call.findtext(f"{D}parameters/{D}label", ""),
                headers,
                arguments=arguments,
                rescue=bool(code["rescue"]),
            )
        except CallFailed as failed:
            if not code["rescue"]:
                raise
            ruby.run(code["rescue"], self._scope(failed.result))
        else:
            ruby.run(code["finalize"], self._scope(result.value, result.headers))

    def _arguments(self, call: Element) -> tuple[dict[str, str], dict[str, str]]:
        """Return the arguments for the body, and those for the headers."""
        arguments, headers = {}, {}
        for argument in call.findall(f"{D}parameters/{D}arguments/*"):
            name, text = argument.tag.removeprefix(D), argument.text or ""
            is_code = text.startswith("!")
            value = _sent(ruby.evaluate(text[1:], self._scope()) if is_code else text)
            if name.startswith("__H_"):
                headers[name.removeprefix("__H_")] = value
            else:
                arguments[name] = value
        return arguments, headers


def _values(root: Element, what: str) -> dict[str, Any]:
    found = root.find(P + what)
    assert found is not None
    return {entry.tag.removeprefix(P): entry.text for entry in found}


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """Return names as code has them: JOB_RECEIPT."""
    return {name.upper().replace("-", "_"): value for name, value in headers.items()}


def _sent(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
