"""Authentication: a token for each role, in the Authorization header or in the query.

A handler that needs a token checks it in its first line; ``tests/web/test_auth.py`` visits all
routes and has the list of the public ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sanic_dispatch.config.settings import ROLES, Settings
from sanic_dispatch.config.tokens import Tokens
from sanic_dispatch.errors import Unauthorized
from sanic_dispatch.web.context import Call, context_of

WORKER, SUBMIT, OPERATOR = ROLES


class Access:
    """The tokens that a topic accepts, by role."""

    def __init__(self, settings: Settings, more_operators: Sequence[str] = ()) -> None:
        """``more_operators`` are the tokens of the whole service, which are good everywhere."""
        operators = (*settings.operator_tokens, *more_operators)
        choosers = (*settings.priority_tokens, *(operators if settings.priorities else ()))
        submitters = (*settings.submit_tokens, *choosers) if settings.submit_tokens else ()
        self._tokens = {
            WORKER: Tokens(settings.worker_tokens),
            SUBMIT: Tokens(submitters),
            OPERATOR: Tokens(operators),
        }
        self._choosers = Tokens(choosers if settings.priorities else ())
        self._required = {
            role: tokens for role, tokens in self._tokens.items() if tokens.is_required
        }

    def check(self, request: Call, role: str) -> None:
        """Raise Unauthorized unless the request has a token of this role, or none is configured."""
        tokens = self._required.get(role)
        if tokens is not None and not tokens.admit(token_of(request)):
            raise Unauthorized(role)

    def may_monitor(self, request: Call) -> bool:
        """Whether the request has the operator's token, in the header or in the query."""
        return self._tokens[OPERATOR].has(token_of(request))

    def may_choose_priority(self, request: Call) -> bool:
        """Whether priorities are on, and the request has a token with which it may choose one."""
        return self._choosers.has(token_of(request))


def check(request: Call, role: str) -> None:
    """Raise Unauthorized unless the request has a token of this role, or none is configured."""
    context_of(request).access.check(request, role)


def token_of(request: Call) -> str | None:
    """Return the request's token: ``Authorization: Bearer …``, else ``?token=…``.

    A plus sign in a query is decoded as a space, which no token has.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    presented = cast("str | None", request.args.get("token"))
    return presented and presented.replace(" ", "+")
