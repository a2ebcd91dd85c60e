"""Tokens and origins: how they are read, compared and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanic_dispatch.config.origins import is_same_site
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.config.tokens import Tokens, new_token, read_tokens
from sanic_dispatch.errors import SettingsError


def test_each_token_of_a_role_is_admitted():
    """Each token of a role is admitted; similar ones are not."""
    tokens = Tokens(["old-token", "new-token"])
    assert tokens.admit("old-token")
    assert tokens.admit("new-token")
    for wrong in (None, "", "old-toke", "old-token ", "OLD-TOKEN", "\udc80", "old-token,new-token"):
        assert not tokens.admit(wrong)


def test_tokens_are_compared_in_constant_time(monkeypatch):
    """Hashes of all tokens are compared in full, whichever one matches."""
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    Tokens(["first-token", "second-token"]).admit("first-token")
    assert len(compared) == 2
    assert {len(digest) for pair in compared for digest in pair} == {32}


def test_without_tokens_everybody_is_admitted():
    """Without tokens none is required, and every request is admitted."""
    assert not Tokens([]).is_required
    assert Tokens([]).admit(None)


def test_a_made_token_cannot_be_guessed():
    """A new token has 192 random bits, in URL-safe characters."""
    assert len({new_token() for _ in range(100)}) == 100
    Settings(operator_tokens=(new_token(),))


@pytest.mark.parametrize("token", ["", "short", "x" * 257, "with blanks in it", "umläut-token",
                                   "token?&=", "a\nb-token-x"])  # fmt: skip
def test_a_token_that_cannot_be_sent_is_refused(token):
    """The error has the option and what a token is, and not the token."""
    with pytest.raises(SettingsError, match="^--worker-token: a token has ") as refused:
        Settings(worker_tokens=(token,))
    assert not token or token not in str(refused.value)


def test_tokens_from_a_file(tmp_path: Path):
    """One token per line, besides the options; comments, empty lines and a BOM are skipped."""
    file = tmp_path / "tokens"
    file.write_bytes("\ufeff# Küche\n\nfirst-token\r\n  second-token  \n".encode())
    settings = Settings.of(Mode.IN_MEMORY, worker_tokens=("x-token-x",), worker_token_files=[file])
    assert settings.worker_tokens == ("x-token-x", "first-token", "second-token")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe", None])
def test_a_file_without_tokens_is_refused(tmp_path: Path, content):
    """An empty token file is refused, so that no service is open by mistake."""
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="--worker-token-file"):
        read_tokens("--worker-token-file", file)


def test_an_operators_token_is_made_where_none_is_given():
    """Without an operator's token a new one is made; a given one is kept."""
    assert len(Settings().with_operator_token().operator_tokens) == 1
    given = Settings(operator_tokens=("given-token",))
    assert given.with_operator_token() is given


@pytest.mark.parametrize(
    ("field", "flag", "value"),
    [
        ("cors_origins", "--cors-origin", "bar.example"),
        ("cors_origins", "--cors-origin", "https://bar.example/path"),
        ("cors_origins", "--cors-origin", "null"),
        ("cors_origins", "--cors-origin", "https://a\r\nSet-Cookie: x"),
        ("allow_origins", "--allow-origin", "ftp://bar.example"),
        ("frame_ancestors", "--frame-ancestors", "https://a; script-src *"),
        ("frame_ancestors", "--frame-ancestors", "'self'"),
        ("trusted_proxies", "--trusted-proxy", "proxy.example"),
        ("trusted_proxies", "--trusted-proxy", "10.0.0.1/8"),
    ],
)
def test_origins_and_networks_are_validated(field, flag, value):
    """Values that are sent in headers are validated: origins and networks."""
    with pytest.raises(SettingsError, match=f"^{flag} "):
        Settings(**{field: (value,)})


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://bar", "bar", True),
        ("http://bar:80", "bar", True),
        ("http://bar", "bar:80", True),
        ("https://bar:443", "bar", True),
        ("https://BAR", "bar", True),
        ("https://bar:8443", "bar:8443", True),
        ("http://[::1]:2567", "[::1]:2567", True),
        ("https://bar:80", "bar", False),
        ("http://bar", "bar.example", False),
        ("http://bar:2567", "bar:2568", False),
        ("null", "null", False),
        ("http://bar/", "bar/", False),
        ("", "", False),
    ],
)
def test_same_site(origin, host, same):
    """Host and port are compared, without default ports; not the scheme, which proxies change."""
    assert is_same_site(origin, host) is same
