"""The banner: what is printed or logged when the server starts."""

from __future__ import annotations

import pytest
import structlog

from sanic_dispatch.config.settings import LogFormat, Mode, Settings
from sanic_dispatch.server.banner import announce, banner, warn_if_open
from tests.observability.test_log import Broken
from tests.support.commands import on_a_terminal


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("", "http://localhost:8080/"),
        ("0.0.0.0", "http://localhost:8080/"),
        ("::1", "http://[::1]:8080/"),
        ("bar.local", "http://bar.local:8080/"),
    ],
)
def test_banner_has_addresses_that_can_be_opened(host, base):
    """The banner has URLs that this machine can open, with the real port."""
    text = banner(Settings(host=host, port=8080))
    assert f"order page  {base}public/order_drink.html\n" in text
    assert f"register    {base}register-worker\n" in text


def test_start_is_a_log_line_in_json(capsys):
    """With JSON logs the start is one line of the log, with the same facts."""
    announce(Settings(log_format=LogFormat.HUMAN, port=8080))
    assert "order page  http://localhost:8080/" in capsys.readouterr().err
    with structlog.testing.capture_logs() as lines:
        announce(Settings(log_format=LogFormat.JSON, port=8080))
    assert lines[0]["event"] == "dispatch.started"
    assert lines[0]["order_page"] == "http://localhost:8080/public/order_drink.html"
    assert not capsys.readouterr().err


@pytest.mark.parametrize("log_format", [LogFormat.HUMAN, LogFormat.JSON])
def test_a_start_whose_banner_is_not_read(monkeypatch, log_format):
    """A server starts also where standard error is a pipe that nobody reads."""
    monkeypatch.setattr("sys.stderr", Broken())
    announce(Settings(log_format=log_format), "made-token")


def test_banner_has_the_pages_of_topics():
    """Each topic has a paragraph of its own; an operator's token of the service opens it, too."""
    settings = Settings.of(Mode.IN_MEMORY, port=8080, topic_names=("roof", "cellar"))
    of_roof = """

  topic       roof
  order page  http://localhost:8080/topics/roof/public/order_drink.html
  wall board  http://localhost:8080/topics/roof/public/board.html
  monitor     http://localhost:8080/topics/roof/public/monitor.html?token=made-token

  topic       cellar
"""
    assert of_roof in banner(settings, "made-token")


def test_start_in_json_has_the_addresses_of_topics():
    """They are in one field; without topics there is none."""
    for names in ((), ("roof", "cellar")):
        with structlog.testing.capture_logs() as lines:
            values = {"log_format": LogFormat.JSON, "port": 8080, "topic_names": names}
            announce(Settings.of(Mode.IN_MEMORY, **values))
        base = "http://localhost:8080/topics/"
        assert lines[0].get("topics") == (f"{base}roof/ {base}cellar/" if names else None)


def test_only_a_made_token_is_printed(capsys):
    """The operator's link has a generated token; a token that was given is not printed."""
    given = Settings(operator_tokens=("given-token",), log_format=LogFormat.HUMAN, port=8080)
    announce(given)
    assert "monitor     http://localhost:8080/public/monitor.html\n" in capsys.readouterr().err
    announce(given, "made-token")
    assert "public/monitor.html?token=made-token\n" in capsys.readouterr().err
    with structlog.testing.capture_logs() as lines:
        announce(Settings(log_format=LogFormat.JSON, port=8080), "made-token")
    assert "made-token" not in str(lines)
    line = "operator: http://localhost:8080/public/monitor.html?token=made-token\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        ({}, True),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "127.0.0.1"}, False),
        ({"worker_tokens": ("worker-token",)}, False),
        ({"allow_callback": ("engine.example",)}, False),
        ({"submit_tokens": ("submit-token",)}, True),
    ],
)
def test_warning_if_anyone_can_register(settings, is_open):
    """There is a warning if everyone on the network can register any worker."""
    with structlog.testing.capture_logs() as lines:
        warn_if_open(Settings(**settings))
    assert [line["log_level"] for line in lines] == ["warning"] * is_open


@pytest.mark.parametrize(("tokens", "open_topics"), [(("worker-token",), ["cellar"]), ((), [None])])
def test_warning_about_a_topic(tokens, open_topics):
    """A topic that is open although the service is not is named; an open service needs one line."""
    topics = {"roof": {}, "cellar": {"worker_tokens": ()}}
    settings = Settings.of(Mode.IN_MEMORY, worker_tokens=tokens, topics=topics)
    with structlog.testing.capture_logs() as lines:
        warn_if_open(settings)
    assert [line.get("topic") for line in lines] == open_topics


def test_banner_says_where_queues_are_stored(tmp_path):
    """The banner names the folder of each queue, or says that it is gone after a stop."""
    text = banner(Settings(job_queue_mode=Mode.IN_MEMORY, data_dir=tmp_path))
    assert "jobs        InMemory, gone when it stops\n" in text
    assert f"workers     CachedJsonFile in {tmp_path}\n" in text


async def test_a_terminal_shows_the_addresses_first() -> None:
    """What Sanic says to its developers on a terminal is not printed."""
    command = ("serve", "--host", "127.0.0.1", "--port", "0", "--mode", "InMemory")
    async with on_a_terminal(*command) as (process, _):
        assert process.stderr is not None
        first = await process.stderr.readline()
        process.kill()
        await process.communicate()
    assert first.startswith(b"operator: http://127.0.0.1:")
