"""The operator's commands about webhooks and phones: ctl webhook, ctl push, ctl outbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli.ctl import OPTIONS, act_as_operator, print_rows, run_as_operator
from sanic_dispatch.config.webhook_entry import GROUPS, is_secret

if TYPE_CHECKING:
    from sanic_dispatch.client.operator_client import OperatorClient

WEBHOOK_COLUMNS = ("id", "state", "events", "payload", "configured", "url")
OUTBOX_COLUMNS = (
    *("id", "state", "pending", "oldest", "told_to", "last", "failing_since", "retry_in_s"),
    *("reason", "url", "ticket"),
)


def _secret_in(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> str | None:
    """Return the secret in a file; a callback for click."""
    if path is None:
        return None
    try:
        secret = path.read_text().strip()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}.") from None
    if not is_secret(secret):
        raise click.BadParameter(f"{path} has no secret, such as whsec_ with 32 bytes in base64.")
    return secret


def _secret_option() -> click.Option:
    return click.Option(
        ["--secret-file", "secret"],
        type=click.Path(path_type=Path),
        callback=_secret_in,
        metavar="FILE",
        help="File with the secret; without it one is made.",
    )


def _id() -> click.Argument:
    return click.Argument(["webhook_id"], metavar="ID")


@click.group("webhook", params=[])
def webhook() -> None:
    """Tell other systems of events.

    ID is a webhook's id, which list prints.

    \b
    Examples:
      sanic-dispatch ctl webhook add https://till.example/hook --payload
      sanic-dispatch ctl webhook test b7d1f3a5c9e20846
    """


@click.command(
    "add",
    params=[
        click.Argument(["target"], metavar="URL"),
        click.Option(
            ["--event", "events"],
            multiple=True,
            default=("job.*",),
            show_default="job.*",
            metavar="NAME",
            help=f"{', '.join(GROUPS)} or the name of an event; may be given several times.",
        ),
        click.Option(["--payload"], is_flag=True, help="Send the data of jobs, too."),
        _secret_option(),
        *OPTIONS,
    ],
)
def add(
    target: str, events: tuple[str, ...], payload: bool, secret: str | None, **options: Any
) -> None:
    """Tell a URL of what happens from now on. Prints its id and its secret."""
    entry: dict[str, Any] = {"url": target, "events": list(events), "payload": payload}
    if secret is not None:
        entry["secret"] = secret
    act_as_operator(lambda client: client.add_webhook(entry), options)


@click.command("list", params=list(OPTIONS))
def list_webhooks(**options: Any) -> None:
    """List the webhooks."""
    run_as_operator(
        lambda client: client.webhooks(),
        lambda rows: print_rows(rows, WEBHOOK_COLUMNS, options["as_json"]),
        options,
    )


@click.command("rotate", params=[_id(), _secret_option(), *OPTIONS])
def rotate(webhook_id: str, secret: str | None, **options: Any) -> None:
    """Sign with a new secret, which is printed.

    For a day messages are signed with the old one, too.
    """
    said = {} if secret is None else {"secret": secret}
    act_as_operator(lambda client: client.act_on_webhook(webhook_id, "rotate", said), options)


@click.command("remove", params=[_id(), *OPTIONS])
def remove(webhook_id: str, **options: Any) -> None:
    """Remove a webhook; what is pending is dropped."""

    async def ask(client: OperatorClient) -> dict[str, Any]:
        await client.remove_webhook(webhook_id)
        return {"id": webhook_id, "removed": True}

    act_as_operator(ask, options, f"Remove webhook {webhook_id}?")


def _act(name: str, help: str, question: str = "") -> click.Command:
    def act(webhook_id: str, **options: Any) -> None:
        act_as_operator(
            lambda client: client.act_on_webhook(webhook_id, name),
            options,
            question.format(webhook_id),
        )

    return click.Command(name, callback=act, params=[_id(), *OPTIONS], help=help)


for command in (
    add,
    list_webhooks,
    remove,
    rotate,
    _act("test", "Send a test message. Prints whether it was delivered."),
    _act("continue", "Send again at once, from where it stopped."),
    _act("drop", "Drop what is pending.", "Drop what is pending for webhook {}?"),
):
    webhook.add_command(command)


@click.command("outbox", params=list(OPTIONS))
def outbox(**options: Any) -> None:
    """List what is pending for webhooks and phones, and why.

    Of a phone it is the message: its URL is that of its push service.
    """

    def show(rows: list[dict[str, Any]]) -> None:
        if not options["as_json"]:
            rows = [_as_webhook(row) if "service" in row else row for row in rows]
        print_rows(rows, OUTBOX_COLUMNS, options["as_json"])

    run_as_operator(lambda client: client.outbox(), show, options)


def _as_webhook(phone: dict[str, Any]) -> dict[str, Any]:
    """Return a phone as a row of the table."""
    state = "retrying" if phone["attempts"] else "delivering"
    return {**phone, "state": state, "pending": phone["kind"], "url": phone["service"]}


@click.group("push", params=[])
def push() -> None:
    """Act on messages to phones that could not be sent.

    ID is a phone's id, which ctl outbox prints.

    \b
    Examples:
      sanic-dispatch ctl outbox
      sanic-dispatch ctl push continue 2f6c0d9be1a47358
    """


def _act_on_phone(name: str, help: str, question: str = "") -> click.Command:
    def act(subscription: str, **options: Any) -> None:
        async def ask(client: OperatorClient) -> dict[str, Any]:
            await client.act_on_push(subscription, name)
            return {"id": subscription, name: True}

        act_as_operator(ask, options, question.format(subscription))

    argument = click.Argument(["subscription"], metavar="ID")
    return click.Command(name, callback=act, params=[argument, *OPTIONS], help=help)


for command in (
    _act_on_phone("continue", "Try again at once."),
    _act_on_phone("drop", "Drop the message.", "Drop the message that is pending for phone {}?"),
):
    push.add_command(command)
