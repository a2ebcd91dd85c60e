"""The commands for data folders, while no dispatcher runs: check, export, import."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from sanic_dispatch.cli.env_option import SectionedCommand
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.options import setting_options, settings_of_topic
from sanic_dispatch.cli.topic_option import chosen_topic, folder_of_topic, topic_option
from sanic_dispatch.config.settings import TOPICS_FOLDER
from sanic_dispatch.errors import DataFolderUnusable
from sanic_dispatch.observability.log import printable

LONG = 2000
"""Records from which on a terminal shows a progress bar."""

_NAMES = (
    *("mode", "job_queue_mode", "worker_queue_mode", "data_dir"),
    *("redis_url", "redis_prefix"),
)


@click.command(cls=SectionedCommand, params=[*setting_options("data_dir"), topic_option()])
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--rebuild-index", is_flag=True, help="First rebuild the indexes of the history.")
def check(data_dir: Path, as_json: bool, rebuild_index: bool) -> None:
    """Check a data folder without starting: what is in it, and is anything damaged?

    All topics in the folder are checked, unless --topic names one. Nothing is changed, except by
    --rebuild-index. For a damaged file it prints where the damage begins; sanic-dispatch serve
    --repair moves damaged entries of jobs.json and workers.json to another file. Exit code 1:
    damaged.

    \b
    Examples:
      sanic-dispatch check --data-dir /var/lib/dispatch
      sanic-dispatch check --json | jq .whole
    """
    from sanic_dispatch.storage.check import inspect
    from sanic_dispatch.storage.data_folder import topic_folders

    folder = folder_of_topic(data_dir)
    others = {} if chosen_topic() else topic_folders(data_dir)
    if rebuild_index:
        for each in (folder, *others.values()):
            _rebuild_index(each)
    found = inspect(folder).to_dict()
    topics = {name: inspect(other).to_dict() for name, other in others.items()}
    found["whole"] = found["whole"] and all(topic["whole"] for topic in topics.values())
    if as_json:
        click.echo(json_of(found | ({TOPICS_FOLDER: topics} if topics else {})))
    else:
        lines = [*_described(found)]
        lines += [f"topic {name}: {line}" for name in topics for line in _described(topics[name])]
        click.echo("\n".join(map(printable, lines)))
    click.get_current_context().exit(0 if found["whole"] else 1)


def _rebuild_index(folder: Path) -> None:
    from sanic_dispatch.storage.segment_files import rebuild_indexes
    from sanic_dispatch.storage.segment_format import FOLDER

    try:
        rebuild_indexes(folder / FOLDER)
    except OSError as error:
        raise DataFolderUnusable(folder, f"is not writable: {error.strerror}") from error


@click.command(cls=SectionedCommand, params=[*setting_options(*_NAMES), topic_option()])
def export(**flags: Any) -> None:
    """Write everything in a data folder, or in Redis, to standard output, as JSON lines.

    The output has jobs, workers, finished jobs, ticket numbers, and the secret that order links
    are made with: keep it as safe as the folder. The folder is not changed. No dispatcher may run.

    \b
    Examples:
      sanic-dispatch export > queue.jsonl
      sanic-dispatch export --topic roof --config /etc/sanic-dispatch/dispatch.toml > roof.jsonl
          in the modes that the file gives this topic
      sanic-dispatch export -m Sqlite | sanic-dispatch import -m CachedJsonFile
          from one mode to another; the database stays as it is
    """
    from sanic_dispatch.storage.export_format import lines_of
    from sanic_dispatch.storage.export_import import read_contents

    content = asyncio.run(read_contents(settings_of_topic(flags)))
    lines = lines_of(content)
    to_file = not sys.stdout.isatty() and sys.stdout.seekable()
    _print_all(_shown(lines, "exporting", sum(content.counts.values())) if to_file else lines)


@click.command("import", cls=SectionedCommand, params=[*setting_options(*_NAMES), topic_option()])
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--original",
    is_flag=True,
    help="Write the two files of the original service, without what it does not support.",
)
def import_(file: BinaryIO, original: bool, **flags: Any) -> None:
    """Store an export in a data folder, or in Redis, that has nothing in this mode yet.

    FILE is the output of export; the default is standard input. All of it is stored, or nothing:
    an incomplete or changed export is refused, and the stored data is read back and compared.
    With --original, jobs that a worker certainly has, finished jobs and workers that are set aside
    are left out: the original job dispatcher service does not have them.

    \b
    Examples:
      sanic-dispatch import queue.jsonl --data-dir /var/lib/dispatch
      sanic-dispatch export | sanic-dispatch import --original --data-dir ../original
    """
    from sanic_dispatch.storage.export_format import Content
    from sanic_dispatch.storage.export_import import write_contents
    from sanic_dispatch.storage.original_export import Kept, write_original

    settings = settings_of_topic(flags)
    content: Content = _read(file)
    if original:
        kept = Kept.of(content)
        write_original(settings.data_dir, kept)
        _say({"jobs": len(kept.jobs), "workers": len(kept.workers)}, content.counts)
    else:
        asyncio.run(write_contents(settings, content))
        _say(content.counts, content.counts)


def _read(file: BinaryIO) -> Any:
    from sanic_dispatch.storage.export_format import Reader

    reader = Reader()
    lines = iter(file)
    reader.take(next(lines, b""))
    for line in _shown(lines, "importing", reader.expected):
        reader.take(line)
    return reader.content()


def _print_all(lines: Iterable[bytes]) -> None:
    """Write the lines; a reader may stop early, since the last line marks a complete export."""
    sys.stdout.buffer.writelines(lines)
    sys.stdout.buffer.flush()


def _shown(lines: Iterable[bytes], what: str, count: int) -> Iterator[bytes]:
    """Yield the lines, with a progress bar on a terminal if there are many."""
    if count < LONG or not sys.stderr.isatty():
        yield from lines
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(lines, what, total=count, console=Console(stderr=True), transient=True)


def _say(stored: dict[str, int], came: dict[str, int]) -> None:
    left_out = {kind: came[kind] - stored.get(kind, 0) for kind in came}
    text = f"stored: {_listed(stored)}"
    if any(left_out.values()):
        text += f"; left out: {_listed({k: n for k, n in left_out.items() if n})}"
    click.echo(text, err=True)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in counts.items())


def _described(found: dict[str, Any]) -> Iterator[str]:
    if found["in_use"]:
        yield "a dispatcher runs on this folder: the counts can be of different moments"
    for file in found["files"]:
        name, damage = file.pop("file"), file.pop("damage")
        counts = ", ".join(f"{kind.replace('_', ' ')}: {count}" for kind, count in file.items())
        yield f"{name}: {f'DAMAGED, {damage}' if damage else counts or 'in use'}"
    for name in found["set_aside"]:
        yield f"{name}: damaged entries that were set aside"
    if not found["files"]:
        yield "nothing is stored here"
