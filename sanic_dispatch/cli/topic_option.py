"""The option --topic: the topic of a service, or of a data folder, that a command is for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from sanic_dispatch.config.public_url import url_below
from sanic_dispatch.config.settings import TOPICS_FOLDER
from sanic_dispatch.config.topic_names import check_topic_names

_CHOSEN = f"{__name__}.chosen"


def topic_option() -> click.Option:
    """Return --topic, which ``chosen_topic`` reads; other options are told before they are read."""
    return click.Option(
        ["--topic"],
        is_eager=True,
        expose_value=False,
        callback=_choose,
        metavar="NAME",
        help="The topic of that name; without it, the topic that has none.",
    )


def chosen_topic() -> str:
    """Return the name of the topic that the running command is for; empty: the unnamed one."""
    return cast(str, click.get_current_context().meta.get(_CHOSEN, ""))


def url_of_topic(service_url: str) -> str:
    """Return the URL of the chosen topic; a query is kept."""
    if not chosen_topic():
        return service_url
    return url_below(service_url, f"{TOPICS_FOLDER}/{chosen_topic()}/")


def folder_of_topic(data_dir: Path) -> Path:
    """Return the folder of the chosen topic in a service's data folder."""
    return data_dir / TOPICS_FOLDER / chosen_topic() if chosen_topic() else data_dir


def _choose(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        check_topic_names("--topic", [name])
        ctx.meta[_CHOSEN] = name
