"""The menu: the drinks on the order page.

``{"drinks": [{"id", "name", "description", "image"}]}``. The id is what an order contains; name
and description are a text, or one for each language: ``{"en": …, "de": …}``. The image is a path
below the URL ``public/``, where the service has the files of ``static/`` and of ``--public``.
Description and image are optional.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ujson

from sanic_dispatch import strict_json
from sanic_dispatch.errors import InvalidJson, SettingsError

LANGUAGES = ("en", "de")
MAX_CHARS = {"id": 60, "name": 60, "description": 120, "image": 200}
"""The fields of a drink, and how many characters each may have."""

MAX_DRINKS = 200
MAX_FILE_BYTES = 256 * 1024


def _drink(drink_id: str, name: str | dict[str, str], en: str, de: str) -> dict[str, Any]:
    image = f"img/drinks/{drink_id}.svg"
    return {"id": drink_id, "name": name, "description": {"en": en, "de": de}, "image": image}


BUILT_IN: dict[str, Any] = {
    "drinks": [
        _drink("mojito", "Mojito", "Rum, mint, lime", "Rum, Minze, Limette"),
        _drink("cuba-libre", "Cuba Libre", "Rum, cola, lime", "Rum, Cola, Limette"),
        _drink("gin-tonic", "Gin Tonic", "Gin, tonic, juniper", "Gin, Tonic, Wacholder"),
        _drink("margarita", "Margarita", "Tequila, lime, salt", "Tequila, Limette, Salz"),
        _drink("virgin-colada", "Virgin Colada", "No alcohol", "Ohne Alkohol"),
        _drink("lemonade", {"en": "Lemonade", "de": "Limonade"}, "No alcohol", "Ohne Alkohol"),
    ]
}
"""``static/js/shared/menu.js`` has a copy, for when the service cannot be reached."""


def encoded(menu: dict[str, Any]) -> bytes:
    """Return the menu as JSON."""
    return ujson.dumps(menu, ensure_ascii=False, escape_forward_slashes=False).encode()


def check_menu(flag: str, path: Path | None) -> None:
    """Raise SettingsError if there is a path and its file is not a menu; ``flag`` is the option."""
    if path is not None:
        read_menu(path, flag)


def read_menu(path: Path, flag: str = "--menu") -> dict[str, Any]:
    """Return the menu in a file. Raises SettingsError, in one line, if it is not a menu."""
    try:
        return validated_menu(strict_json.parse(_content(path)))
    except OSError as error:
        reason = error.strerror or "cannot be read"
    except (InvalidJson, ValueError) as error:
        reason = str(error)
    raise SettingsError(f"{flag} {path}: {reason}")


def validated_menu(value: Any) -> dict[str, Any]:
    """Return the value if it is a menu. Raises ValueError with the reason if it is not."""
    if not (isinstance(value, dict) and value.keys() == {"drinks"}):
        raise ValueError('a menu is {"drinks": [...]}')
    drinks = value["drinks"]
    if not (isinstance(drinks, list) and 0 < len(drinks) <= MAX_DRINKS):
        raise ValueError(f"drinks is a list of 1 to {MAX_DRINKS}")
    for number, drink in enumerate(drinks, 1):
        _check_drink(f"drink {number}", drink)
    _check_ids([drink["id"] for drink in drinks])
    return value


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    return content


def _check_drink(what: str, drink: Any) -> None:
    if not (isinstance(drink, dict) and {"id", "name"} <= drink.keys() <= MAX_CHARS.keys()):
        raise ValueError(f"{what} has id and name, and may have description and image")
    for key, value in drink.items():
        if key in ("name", "description") and isinstance(value, dict):
            _check_languages(f"{what}: {key}", value, MAX_CHARS[key])
        else:
            _check_text(f"{what}: {key}", value, MAX_CHARS[key])
    if not _is_inside_public(drink.get("image", "")):
        raise ValueError(f"{what}: image is a path under public/, as in img/drinks/mojito.svg")


def _check_languages(what: str, texts: dict[str, Any], max_chars: int) -> None:
    if not {"en"} <= texts.keys() <= set(LANGUAGES):
        raise ValueError(f"{what} in several languages has {', '.join(LANGUAGES)}; en always")
    for text in texts.values():
        _check_text(what, text, max_chars)


def _check_text(what: str, text: Any, max_chars: int) -> None:
    if not (
        isinstance(text, str) and text.strip() and text.isprintable() and len(text) <= max_chars
    ):
        raise ValueError(f"{what} is a text of 1 to {max_chars} printable characters")


def _check_ids(ids: list[str]) -> None:
    known: set[str] = set()
    for drink_id in ids:
        if drink_id.lower() in known:
            raise ValueError(f"there are two drinks with the id {drink_id!r}")
        known.add(drink_id.lower())


def _is_inside_public(image: str) -> bool:
    """Whether it is a relative path below ``public/``: the pages' policy allows no other."""
    return not (image.startswith("/") or ":" in image or "\\" in image or ".." in image)
