"""``sanic-dispatch health``, which is also the health check of the container image."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.certificates import pem
from tests.support.command_line import run
from tests.support.server import ROOT, free_port, server_process

__all__ = ["pem"]

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def checked(**environment: str) -> Result:
    """Run the command of the image's HEALTHCHECK with these variables."""
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "sanic-dispatch"
    return run(*arguments, **environment)


@contextmanager
def listening() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_a_container_is_healthy_as_long_as_it_answers(
    tmp_path: Path, pem: Path, is_secure: bool
) -> None:
    """With and without TLS, by variables or the settings file; stopped, it is unhealthy."""
    port = free_port()
    lines = [f"port = {port}"]
    if is_secure:
        lines += [f'tls-cert = "{pem / "cert.pem"}"', f'tls-key = "{pem / "key.pem"}"']
    config = tmp_path / "dispatch.toml"
    config.write_text("\n".join(lines))
    with server_process("--config", str(config), port=port, cwd=tmp_path) as process:
        done = checked(SANIC_DISPATCH_CONFIG=str(config))
        assert (done.exit_code, done.stdout, done.stderr) == (0, "alive\n", "")
        variables = {"SANIC_DISPATCH_PORT": str(port)}
        assert checked(**variables).exit_code == (3 if is_secure else 0)
        if is_secure:
            variables["SANIC_DISPATCH_TLS_CERT"] = str(pem / "cert.pem")
            variables["SANIC_DISPATCH_TLS_KEY"] = str(pem / "key.pem")
            assert checked(**variables).exit_code == 0
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        done = checked(SANIC_DISPATCH_CONFIG=str(config))
        assert (done.exit_code, done.stdout) == (3, "")
        assert re.fullmatch(
            r"sanic-dispatch: no answer from https?://localhost:\d+/: .+\n", done.stderr
        )


def test_a_silent_server_is_unhealthy() -> None:
    """A server that accepts the connection and does not answer is unhealthy."""
    with listening() as port:
        done = run("health", "--host", "127.0.0.1", "--port", str(port))
    assert done.exit_code == 3
    assert "no answer" in done.stderr


def test_wrong_settings_are_reported() -> None:
    """Wrong settings are reported as serve reports them."""
    done = run("health", "--tls-cert", "cert.pem")
    assert done.exit_code == 2
    assert "--tls-cert and --tls-key belong together" in done.stderr
