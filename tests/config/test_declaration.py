"""Declarations of settings: how values are parsed, checked, written and described."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from sanic_dispatch.config.declaration import (
    Choice,
    Duration,
    Flag,
    Integer,
    Pathname,
    Setting,
    SettingKind,
    Switch,
    Text,
)
from sanic_dispatch.config.masking import mask_all, mask_url
from sanic_dispatch.errors import SettingsError


class Size(StrEnum):
    SMALL = "Small"
    LARGE = "Large"


KINDS = [
    (Text("NAME", "a name"), "Ada", "Ada", "Ada"),
    (Pathname("DIR", "folder"), "/data", Path("/data"), "/data"),
    (Choice(Size), "sMALL", Size.SMALL, "Small"),
    (Switch(), "ON", True, True),
    (Switch(), "off", False, False),
    (Flag(), "off", False, False),
    (Integer(1, 9), "7", 7, 7),
    (Integer(1, 9, may_be_off=True), "Off", None, "off"),
    (Duration(0, 9), "0.5", 0.5, 0.5),
    (Duration(0, 9, "hours"), "1.5", 5400.0, 1.5),
    (Duration(0, 9, may_be_off=True), "off", None, "off"),
]


@pytest.mark.parametrize(("kind", "text", "value", "written"), KINDS)
def test_values(kind: SettingKind, text: str, value: object, written: object) -> None:
    """A text is parsed to a value, and a value is written as in a settings file."""
    assert kind.parse(text) == value
    assert kind.written(value) == written
    assert type(kind.written(value)) is type(written)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (Choice(Size), "huge", "'huge' is none of Small, Large"),
        (Switch(), "maybe", "'maybe' is none of on, off"),
        (Integer(1, 9), "1.5", "'1.5' is not a whole number"),
        (Integer(1, 9), "off", "'off' is not a whole number"),
        (Duration(0, 9, "hours"), "soon", "'soon' is not a number of hours"),
    ],
)
def test_malformed_texts(kind: SettingKind, text: str, reason: str) -> None:
    """A text that cannot be parsed is refused with the reason."""
    with pytest.raises(ValueError, match=reason):
        kind.parse(text)


@pytest.mark.parametrize(
    ("kind", "metavar", "allowed"),
    [
        (Integer(1, 9), "N", "1 to 9"),
        (Integer(1, 9, "bytes", may_be_off=True), "BYTES|off", "1 to 9 bytes, or off"),
        (Duration(0.5, 7200), "SECONDS", "0.5 to 7200 seconds"),
        (Duration(0, 7200, "hours"), "HOURS", "0 to 2 hours"),
        (Choice(Size), "Small|Large", "Small, Large"),
        (Switch(), "on|off", "on or off"),
    ],
)
def test_descriptions(kind: SettingKind, metavar: str, allowed: str) -> None:
    """Each kind describes its values for the help and for the documentation."""
    assert (kind.metavar, kind.allowed) == (metavar, allowed)


def test_range() -> None:
    """Bounds are inclusive; the error has the option, the range and the value in its unit."""
    patience = Setting("--patience", 0.0, Duration(0, 7200, "hours"), "Queues", "How long.")
    for seconds in (0.0, 7200.0):
        patience.validate(seconds)
    with pytest.raises(SettingsError, match="^--patience must be from 0 to 2 hours, not 2.5$"):
        patience.validate(9000.0)


def test_secrets_are_masked() -> None:
    """A token is masked, and of a URL only its secret."""
    tokens = Setting("--token", (), Text("TOKEN", ""), "Access", "Token.", mask=mask_all)
    url = Setting("--url", "", Text("URL", ""), "Access", "URL.", mask=mask_url)
    assert tokens.written(("canary", "canary")) == ["…", "…"]
    assert (
        url.written("redis://ada:canary@h/0?token=canary&db=1") == "redis://ada:…@h/0?token=…&db=1"
    )
    assert url.written("") is None
