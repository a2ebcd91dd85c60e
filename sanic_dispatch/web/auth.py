"""Who may do what: each door's token, in the Authorization header or in the query.

Which routes stand behind which door is said in their handlers, in the first line;
``tests/web/test_auth.py`` walks over all routes and knows those that are public.
"""

from __future__ import annotations

from typing import cast

from sanic_dispatch.config.settings import DOORS, Settings
from sanic_dispatch.config.tokens import Tokens
from sanic_dispatch.errors import Unauthorized
from sanic_dispatch.web.context import Call

WORKER, SUBMIT, OPERATOR = DOORS


class Access:
    """The doors of one app, with the tokens that open them."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = {door: Tokens(getattr(settings, f"{door}_tokens")) for door in DOORS}
        self._closed = {door: tokens for door, tokens in self._tokens.items() if tokens}

    def check(self, request: Call, door: str) -> None:
        """Raises Unauthorized where the request does not show a token that the door needs."""
        tokens = self._closed.get(door)
        if tokens is not None and not tokens.admit(token_of(request)):
            raise Unauthorized(door)

    def may_monitor(self, request: Call) -> bool:
        """Whether it shows the operator's token; from where it comes does not count."""
        return self._tokens[OPERATOR].admit(token_of(request))


def check(request: Call, door: str) -> None:
    """Raises Unauthorized where the request may not pass this door."""
    cast(Access, request.app.ctx.access).check(request, door)


def token_of(request: Call) -> str | None:
    """The token that came along: ``Authorization: Bearer …``, else ``?token=…``.

    In a query a plus sign means a space, which no token has.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    shown = cast("str | None", request.args.get("token"))
    return shown and shown.replace(" ", "+")
