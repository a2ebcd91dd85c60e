"""The options that name a recorded evening, and how it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.event_commands import SERVICE, check_source, check_span, span_options
from sanic_dispatch.cli.topic_option import folder_of_topic
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.errors import NoHistory, UnusableReplay

if TYPE_CHECKING:
    from sanic_dispatch.replay.evening_source import Evening, EveningSpan, EventWithData
    from sanic_dispatch.storage.event_log import Missing

SOURCE: list[click.Parameter] = [
    *span_options(),
    click.Option(
        ["--data-dir"],
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Read this data folder, which no dispatcher uses, or a backup, instead of asking one.",
    ),
    *SERVICE,
]


def parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a callback for click that parses an option, unless it is missing."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: {error}.") from None

    return callback


async def evening_of(options: Mapping[str, Any]) -> Evening:
    """Read the evening that the options of SOURCE name, and say how many orders have lost their
    data. Raises UnusableReplay.
    """
    evening = await _read(options)
    erased = sum(not order.is_data_kept for order in evening.recording.counted())
    if erased:
        remote.warn(
            f"orders whose data was erased or is not kept, so that the line may differ: {erased}"
        )
    return evening


async def _read(options: Mapping[str, Any]) -> Evening:
    from sanic_dispatch.replay.evening_source import EveningSpan, evening_in, events_of
    from sanic_dispatch.storage.read_history import history_left_alone

    begin, end = options["begin"], options["end"]
    check_span(begin, end)
    span = EveningSpan(begin and from_rfc3339(begin), end and from_rfc3339(end))
    check_source(options["data_dir"])
    if options["data_dir"] is None:
        return await _evening_of_service(span, options)
    try:
        with history_left_alone(folder_of_topic(options["data_dir"])) as log:
            return evening_in(events_of(log, span), span)
    except NoHistory as error:
        raise UnusableReplay(str(error)) from None


async def _evening_of_service(span: EveningSpan, options: Mapping[str, Any]) -> Evening:
    """Read the evening from a running dispatcher; what it sends is folded in a thread."""
    from sanic_dispatch.client.operator_client import LARGEST_PAGE, OperatorClient
    from sanic_dispatch.replay.evening_source import evening_in, events_in_page

    loop = asyncio.get_running_loop()
    token = options["token_file"] or options["token"]
    begin = None if span.read_from_s is None else to_rfc3339(span.read_from_s)
    async with OperatorClient(options["url"], token) as client:

        def events() -> Iterator[EventWithData | Missing]:
            after: int | None = 0
            while after is not None:
                question = {"from": begin, "after": after, "limit": LARGEST_PAGE}
                asked = client.recording(**question)
                page = asyncio.run_coroutine_threadsafe(asked, loop).result()
                yield from events_in_page(page)
                after = page["next"]

        return await asyncio.to_thread(evening_in, events(), span)
