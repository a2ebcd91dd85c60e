"""The tables of settings in docs/operations.md, made from the declarations.

``python -m tests.support.settings_table`` writes them into the page.
"""

from __future__ import annotations

import re
from itertools import groupby

import click

from sanic_dispatch.cli.config_file import CONFIG
from sanic_dispatch.cli.setting_option import SettingOption
from sanic_dispatch.config.settings import SETTINGS
from tests.support.paths import DOCS

PAGE = DOCS / "operations.md"

HEAD = """\
| option | variable | default | unit, range | what it does |
|---|---|---|---|---|
"""


def with_tables(page: str) -> str:
    """Return the page with a new table under each section's heading; other text is kept."""
    for section, settings in groupby((CONFIG, *SETTINGS), lambda setting: setting.section):
        title = re.escape(section.partition(" (")[0])
        table = HEAD + "".join(map(row_of, map(SettingOption, settings)))
        old = rf"(^##+ {title}\n(?:(?![#|]).*\n)*)(?:\|.*\n)+"
        page, count = re.subn(old, lambda found, new=table: found[1] + new, page, flags=re.M)
        assert count == 1, f"{PAGE.name} needs a heading and a table for {title}"
    return page


def row_of(option: SettingOption) -> str:
    """Return a setting's row."""
    setting = option.setting
    flags = ", ".join(f"`{flag}`" for flag in filter(None, (setting.flag, setting.short)))
    of_topic = "*Per topic.*" if setting.per_topic else ""
    text = " ".join(filter(None, (setting.help, setting.details, of_topic)))
    cells = (flags, f"`{option.envvar}`", default_of(option), setting.kind.allowed, text)
    assert not any("|" in cell for cell in cells), cells
    return f"| {' | '.join(cells)} |\n"


def default_of(option: SettingOption) -> str:
    """Return the default as --help shows it."""
    with click.Context(click.Command("serve")) as ctx:
        return option.get_help_extra(ctx)["default"].strip("()")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
