"""The menu: the built-in one, and the operator's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ujson

from sanic_dispatch.config.menu import BUILT_IN, MAX_FILE_BYTES
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import SettingsError
from tests.support.http_requests import CALLBACK, ask
from tests.support.server import Service, running_service

TEA = {"id": "tea", "name": "Tea"}
BEER = {"id": "beer", "name": "Beer"}
OWN = {
    "drinks": [
        {**TEA, "description": "Hot", "image": "img/drinks/tea.png"},
        {"id": "water", "name": {"en": "Water", "de": "Wasser"}, "description": {"en": "Cold"}},
    ]
}


def written(path: Path, content: Any) -> Path:
    """Write a menu file."""
    path.write_text(content if isinstance(content, str) else ujson.dumps(content))
    return path


async def test_the_built_in_menu() -> None:
    """Without --menu: the drinks with pictures on the pages; to be revalidated."""
    async with running_service() as service:
        answer = await ask(service, "GET", "menu")
        assert answer.body == BUILT_IN
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.body["drinks"][0] == {
            "id": "mojito",
            "name": "Mojito",
            "description": {"en": "Rum, mint, lime", "de": "Rum, Minze, Limette"},
            "image": "img/drinks/mojito.svg",
        }
        for drink in answer.body["drinks"]:
            assert (await ask(service, "GET", f"public/{drink['image']}")).status == 200
        known = {"If-None-Match": answer.headers["ETag"]}
        assert (await ask(service, "GET", "menu", headers=known)).status == 304


async def test_the_operators_menu(tmp_path: Path) -> None:
    """--menu: the content of the file."""
    async with running_service(menu=written(tmp_path / "menu.json", OWN)) as service:
        assert (await ask(service, "GET", "menu")).body == OWN


async def test_drinks_that_no_robot_makes(tmp_path: Path) -> None:
    """They are marked, under another ETag, until a robot comes that makes them."""
    async with running_service(menu=written(tmp_path / "menu.json", OWN)) as service:
        unmarked = await ask(service, "GET", "menu")
        await register(service, "register-worker?match.drink=water&match.size=l", CALLBACK)
        marked = await ask(service, "GET", "menu")
        drinks = {drink["id"]: drink.get("available") for drink in marked.body["drinks"]}
        assert drinks == {"tea": False, "water": None}
        assert marked.headers["ETag"] != unmarked.headers["ETag"]
        board = await ask(service, "GET", "state")
        assert board.body["state"]["bar"]["unavailable"] == ["tea"]
        await register(service, "register-worker?not.drink=water", CALLBACK + "2/")
        assert (await ask(service, "GET", "menu")).raw == unmarked.raw


async def register(service: Service, path: str, callback: str) -> None:
    """Register a robot that waits."""
    answer = await ask(service, "POST", path, headers={"CPEE-CALLBACK": callback})
    assert answer.status == 202


async def test_a_new_drink_that_no_robot_makes(tmp_path: Path) -> None:
    """It is marked in the first answer after the edit."""
    path = written(tmp_path / "menu.json", OWN)
    async with running_service(menu=path) as service:
        await register(service, "register-worker?match.drink=water", CALLBACK)
        written(path, {"drinks": [*OWN["drinks"], BEER]})
        drinks = (await ask(service, "GET", "menu")).body["drinks"]
        assert {drink["id"] for drink in drinks if "available" in drink} == {"tea", "beer"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON: "),
        ([], 'a menu is {"drinks": [...]}'),
        ({"drinks": [TEA], "food": []}, 'a menu is {"drinks": [...]}'),
        ({"drinks": []}, "drinks is a list of 1 to 200"),
        ({"drinks": [TEA] * 201}, "drinks is a list of 1 to 200"),
        ({"drinks": [TEA, "tea"]}, "drink 2 has id and name, and may have description and image"),
        ({"drinks": [{"id": "tea"}]}, "drink 1 has id and name, "),
        ({"drinks": [TEA | {"price": 5}]}, "drink 1 has id and name, "),
        ({"drinks": [TEA | {"id": 7}]}, "drink 1: id is a text of 1 to 60 printable characters"),
        ({"drinks": [TEA | {"id": {"en": "tea"}}]}, "drink 1: id is a text of 1 to 60 "),
        ({"drinks": [TEA | {"name": " "}]}, "drink 1: name is a text of 1 to 60 "),
        ({"drinks": [TEA | {"name": "x" * 61}]}, "drink 1: name is a text of 1 to 60 "),
        ({"drinks": [TEA | {"name": "a\nb"}]}, "drink 1: name is a text of 1 to 60 "),
        ({"drinks": [TEA | {"name": {"de": "Tee"}}]}, "drink 1: name in several languages has en"),
        ({"drinks": [TEA | {"name": {"en": "", "de": "Tee"}}]}, "drink 1: name is a text of 1 to"),
        ({"drinks": [TEA, TEA | {"id": "TEA"}]}, "there are two drinks with the id 'TEA'"),
        (" " * (MAX_FILE_BYTES + 1), f"larger than {MAX_FILE_BYTES} bytes"),
        *(
            ({"drinks": [TEA | {"image": image}]}, "drink 1: image is a path under public/, as in")
            for image in ("/x.svg", "//e.example/x", "https://e.example/x", "../x", "a\\b")
        ),
    ],
)
def test_an_invalid_menu_is_refused_at_the_start(tmp_path: Path, content: Any, reason: str) -> None:
    """In one line that says what is wrong."""
    path = written(tmp_path / "menu.json", content)
    with pytest.raises(SettingsError) as refused:
        Settings(menu=path)
    assert str(refused.value).startswith(f"--menu {path}: {reason}")
    assert "\n" not in str(refused.value)


def test_a_missing_menu_is_refused(tmp_path: Path) -> None:
    """A missing file, or a folder, is refused in one line too."""
    for path, reason in ((tmp_path / "no", "No such file or directory"),
                         (tmp_path, "Is a directory")):  # fmt: skip
        with pytest.raises(SettingsError) as refused:
            Settings(menu=path)
        assert str(refused.value) == f"--menu {path}: {reason}"
