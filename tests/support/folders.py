"""Data folders that were used, and what is in them."""

from __future__ import annotations

from pathlib import Path

from sanic_dispatch.callbacks.outcome import InDoubt, Refused
from sanic_dispatch.config.settings import Mode, Settings
from tests.support.network import FakeNetwork
from tests.support.world import running_world, worker


def settings_of(mode: Mode, folder: Path) -> Settings:
    """Both queues in this mode, in this folder, which is made if it is not there."""
    folder.mkdir(exist_ok=True)
    return Settings.of(mode, data_dir=folder, fsync=False)


async def used(folder: Path, mode: Mode) -> Settings:
    """A folder with one of everything: waiting, moved, held, in doubt, finished, set aside."""
    settings, network = settings_of(mode, folder), FakeNetwork()
    async with running_world(settings, network) as world:
        ids = [(await world.submit({"n": n})).job.id for n in range(6)]
        await world.register(worker("c1"))
        await world.register(worker("c2", "i2"))
        await world.dispatcher.operator.move_to_front(ids[5], "a guest of honour")
        refusing, silent = worker("c3", "i3"), worker("c4", "i4")
        await world.dispatcher.operator.pause("a story")
        for robot in (refusing, silent, worker("c5", "i5")):
            await world.register(robot)
        network.outcomes = {refusing.id: [Refused("503")], silent.id: [InDoubt("no answer")]}
        network.pending[refusing.id] = False
        await world.dispatcher.operator.resume("over")
        await world.quiet()
        await world.dispatcher.operator.pause("the end")
    return settings


def names_in(folder: Path) -> set[str]:
    """The names in a folder."""
    return {path.name for path in folder.iterdir()}
