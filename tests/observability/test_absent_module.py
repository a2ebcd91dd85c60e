"""Imports without a module that is installed."""

from __future__ import annotations

import sys

import pytest

from sanic_dispatch.observability.absent_module import absent


def test_a_module_is_absent_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of it fails in the block, and not behind it."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with absent("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    with absent("colorsys"):
        assert sys.modules["colorsys"] is colorsys
