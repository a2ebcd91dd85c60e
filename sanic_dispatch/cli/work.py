"""The command that simulates robots: work."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.env_option import PREFIX
from sanic_dispatch.cli.number_range import NumberRange
from sanic_dispatch.cli.topic_option import topic_option
from sanic_dispatch.core.rules import normal_form
from sanic_dispatch.errors import InvalidMatch
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.simulation.crew import Plan

REFRESH_S = 0.25

_SHARE = NumberRange(0, 1)


def _rate(flag: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option of a fault's share of the rounds."""
    return click.option(flag, type=_SHARE, default=0.0, metavar="SHARE", help=text)


def _condition(flag: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option of conditions for an order, which may be given several times."""
    name = f"{flag.removeprefix('--')}_conditions"
    return click.option(flag, name, multiple=True, metavar="MEMBER=VALUES", help=text)


@click.command(params=[topic_option()], context_settings={"show_default": True})
@click.argument(
    "url",
    required=False,
    envvar=f"{PREFIX}URL",
    default=remote.DEFAULT_URL,
    callback=remote.base_url,
)
@_condition("--match", "Take only orders whose MEMBER is one of VALUES: drink=mojito|gin-tonic.")
@_condition("--not", "Take no orders whose MEMBER is one of VALUES: size=xl.")
@click.option("--count", "-n", type=click.IntRange(1, 1000), default=2, help="How many robots.")
@click.option(
    "--seconds",
    "-s",
    type=NumberRange(0.001),
    default=5.0,
    metavar="SECONDS",
    help="How long a robot takes for an order.",
)
@click.option(
    "--jitter",
    type=_SHARE,
    default=0.2,
    metavar="SHARE",
    help="Random variation of that, as a share from 0 to 1.",
)
@_rate(
    "--fail-rate",
    "Share of rounds, from 0 to 1, in which a robot's callback answers 500 or 503 once, "
    "although it waits.",
)
@_rate(
    "--hang-rate",
    "Share in which the PUT hangs, with or without the order taken, or its answer is lost "
    "after the order was taken.",
)
@_rate("--stop-rate", "Share in which the instance is stopped, and continued a little later.")
@_rate(
    "--kill-rate",
    "Share in which the instance's process dies; a little later it is stopped and continued.",
)
@_rate(
    "--delete-rate",
    "Share in which the instance is deleted, and another one started with the same number.",
)
@_rate(
    "--busy-rate", "Share in which code sleeps in the engine, so that all instances wait for it."
)
@click.option(
    "--label",
    default="Robot",
    metavar="TEXT",
    callback=remote.header_text("label"),
    help="Name of the robots, before their number.",
)
@click.option(
    "--seed", type=int, metavar="NUMBER", help="Seed of the random numbers, to repeat a run."
)
@click.option(
    "--channel",
    type=click.Choice(["callback", "websocket", "poll"]),
    default="callback",
    help="How the robots are reached: at an address of theirs, by a websocket, or by polling.",
)
@click.option(
    "--callback-host",
    default="",
    metavar="ADDRESS",
    show_default="this machine's address on the way to the dispatcher",
    help="IPv4 address at which the dispatcher reaches the callbacks.",
)
def work(
    url: str,
    match_conditions: Sequence[str],
    not_conditions: Sequence[str],
    count: int,
    seconds: float,
    jitter: float,
    fail_rate: float,
    hang_rate: float,
    stop_rate: float,
    kill_rate: float,
    delete_rate: float,
    busy_rate: float,
    label: str,
    seed: int | None,
    channel: str,
    callback_host: str,
) -> None:
    """Simulate robots for the dispatcher at URL, until Ctrl-C: for demos, load and faults.

    Each robot is an instance of a simulated process engine. It registers, waits on a callback,
    mixes, and registers again, as CPEE's instances do. Robots on another --channel have no engine,
    and none of its faults. A token goes into the URL's query, as in a
    process model. URL can be given as SANIC_DISPATCH_URL; the default is http://localhost:2567/.

    \b
    Examples:
      sanic-dispatch work
          two robots that need five seconds for an order
      sanic-dispatch work -n 1 --match 'drink=mojito|gin-tonic' --label Bert
          a robot that makes two drinks
      sanic-dispatch work -n 20 -s 0.1 --jitter 1 'https://bar.example/dispatch/?token=…'
          load, on a dispatcher behind a path prefix
      sanic-dispatch work --channel websocket
          the same two, from behind a NAT: they need no address
      sanic-dispatch work --fail-rate 0.1 --hang-rate 0.1 --stop-rate 0.1 --seed 7
          a bad night, the same one each time
    """
    from sanic_dispatch.simulation.crew import Plan, RobotChannel
    from sanic_dispatch.simulation.random_faults import Rates

    if fail_rate + hang_rate > 1:
        raise click.UsageError("--fail-rate and --hang-rate together are more than 1.")
    if stop_rate + kill_rate + delete_rate > 1:
        raise click.UsageError(
            "--stop-rate, --kill-rate and --delete-rate together are more than 1."
        )
    rates = Rates(fail_rate, hang_rate, stop_rate, kill_rate, delete_rate, busy_rate)
    if channel != RobotChannel.CALLBACK and (rates != Rates() or callback_host):
        raise click.UsageError("The rates and --callback-host are for --channel callback.")
    plan = Plan(
        url=url,
        count=count,
        mix_s=seconds,
        jitter=jitter,
        rates=rates,
        label=label,
        seed=seed,
        callback_host=callback_host,
        channel=RobotChannel(channel),
        rule=_rule(match_conditions, not_conditions),
    )
    play = _play_table if sys.stdout.isatty() else _play_lines
    remote.run(remote.until_told(play(plan)))


def _rule(matches: Sequence[str], nots: Sequence[str]) -> list[tuple[str, str]]:
    """Return conditions as arguments of a registration. Raises UsageError for an invalid rule."""
    rule = []
    for kind, conditions in (("match", matches), ("not", nots)):
        for condition in conditions:
            member, equals, values = condition.partition("=")
            if not equals:
                raise click.UsageError(f"--{kind} {condition!r} is not like drink=mojito.")
            rule.append((f"{kind}.{member}", values))
    try:
        normal_form(rule)
    except InvalidMatch as error:
        raise click.UsageError(f"{error}.") from error
    return rule


async def _play_lines(plan: Plan) -> None:
    from sanic_dispatch.simulation.crew import Crew

    await Crew(plan, _print_news).run()


def _print_news(name: str, text: str) -> None:
    click.echo(f"{datetime.now():%H:%M:%S} {printable(name)} {printable(text)}")


async def _play_table(plan: Plan) -> None:
    from rich.live import Live

    from sanic_dispatch.cli.terminal import crew_table
    from sanic_dispatch.simulation.crew import Crew

    crew = Crew(plan, lambda _name, _text: None)
    with Live(auto_refresh=False) as live:

        def draw() -> None:
            live.update(crew_table(crew.robots, crew.orders), refresh=True)

        drawing = asyncio.create_task(_now_and_then(draw))
        try:
            await crew.run()
        finally:
            drawing.cancel()


async def _now_and_then(draw: Callable[[], None]) -> None:
    while True:
        draw()
        await asyncio.sleep(REFRESH_S)
