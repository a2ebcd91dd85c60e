"""TLS of the service, in a real process."""

from __future__ import annotations

import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.server.tls import tls_context
from tests.support import commands
from tests.support.certificates import pem
from tests.support.command_line import run
from tests.support.server import free_port, server_process

__all__ = ["pem"]


async def test_everything_works_over_tls(pem: Path, tmp_path: Path) -> None:
    """Requests, pages and the live channel work over TLS only, and a stop is clean."""
    port = free_port()
    arguments = ("--tls-cert", str(pem / "cert.pem"), "--tls-key", str(pem / "key.pem"),
                 "--host", "127.0.0.1")  # fmt: skip
    trust = ssl.create_default_context(cafile=str(pem / "cert.pem"))
    with server_process(*arguments, port=port, cwd=tmp_path) as process:
        base = f"//127.0.0.1:{port}/"
        async with aiohttp.ClientSession() as http:
            async with http.post(f"https:{base}submit-job", json="x", ssl=trust) as answer:
                assert answer.status == 202
            async with http.get(f"https:{base}public/board.html", ssl=trust) as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"http:{base}health")
        async with connect(f"wss:{base}live", ssl=trust) as ws:
            assert "order/1" in await ws.recv()
            process.send_signal(signal.SIGTERM)
            await ws.wait_closed()
            assert ws.close_code == 1012
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert f'"wall_board":"https:{base}public/board.html"' in process.stderr.read()


async def test_the_tools_say_what_is_wrong_with_a_certificate(pem: Path, tmp_path: Path) -> None:
    """The error names an untrusted certificate, and a server without TLS."""
    port = free_port()
    tls = ("--tls-cert", str(pem / "cert.pem"), "--tls-key", str(pem / "key.pem"))
    url = f"https://127.0.0.1:{port}/"
    with server_process(*tls, "--host", "127.0.0.1", port=port, cwd=tmp_path):
        done = await commands.run("submit", "1", "--url", url)
        assert done.code == 3
        assert "its certificate is not trusted: self-signed certificate" in done.err
        trusting = {"SSL_CERT_FILE": str(pem / "cert.pem")}
        assert (await commands.run("submit", "1", "--url", url, env=trusting)).code == 0
    with server_process("--host", "127.0.0.1", port=port, cwd=tmp_path):
        done = await commands.run("submit", "1", "--url", url)
        assert done.code == 3
        assert "the server there speaks no TLS" in done.err


def test_old_versions_are_refused(pem: Path) -> None:
    """TLS 1.2 is the lowest version."""
    context = tls_context(pem / "cert.pem", pem / "key.pem")
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("missing.pem", "key.pem", "--tls-cert .*missing.pem: No such file"),
        ("cert.pem", "missing.pem", "--tls-key .*missing.pem: No such file"),
        ("empty.pem", "key.pem", "no certificate and its key"),
        ("cert.pem", "empty.pem", "no certificate and its key"),
        ("key.pem", "cert.pem", "no certificate and its key"),
        ("cert.pem", "locked.pem", "without a password"),
    ],
)
def test_invalid_certificates_are_refused(
    pem: Path, certificate: str, key: str, words: str
) -> None:
    """The start ends in one line; it does not prompt for a key's password."""
    with pytest.raises(SettingsError, match=words):
        tls_context(pem / certificate, pem / key)


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key"])
def test_certificate_and_key_need_each_other(flag: str) -> None:
    """Neither can be given without the other."""
    done = run("serve", flag, "x.pem")
    assert done.exit_code == 2
    assert done.stderr == "sanic-dispatch: --tls-cert and --tls-key belong together\n"


def test_the_demo_speaks_plain_http(pem: Path) -> None:
    """Its robots do not trust self-signed certificates."""
    done = run("demo", "--tls-cert", str(pem / "cert.pem"), "--tls-key", str(pem / "key.pem"))
    assert done.exit_code == 2
    assert "plain HTTP" in done.stderr


def test_the_scheme() -> None:
    """With a certificate the scheme is https."""
    assert Settings().scheme == "http"
    assert Settings(tls_cert=Path("c"), tls_key=Path("k")).scheme == "https"
