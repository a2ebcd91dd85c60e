"""The settings file, and ``sanic-dispatch config``, which prints where each setting comes from."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from sanic_dispatch.cli.main import cli
from sanic_dispatch.config.declaration import HOUR_S
from sanic_dispatch.config.settings import SETTINGS, Mode, OnDoubt, Settings
from sanic_dispatch.config.webhook_entry import WebhookEntry
from tests.support.command_line import run
from tests.support.receiver import SECRET

EVERYTHING = """
port = 0
host = "::1"
public-url = "https://bar.example/drinks/"
mode = "sqlite"
job-queue-mode = "InMemory"
data-dir = "/tmp"
fsync = false
repair = true
keep-done = 1.5
submit-wait = 0.5
lease = 600
on-doubt = "resend"
worker-token = ["worker-token", "another-token"]
allow-callback = "engine.example:8298"
max-jobs = 7
max-body = 4096
orders-per-minute = 30
log-format = "json"
"""

ROOF = "[topics.roof]\n"

TOPICS = """
topic = ["cellar"]
max-jobs = 7
lease = 600
operator-token = "operator-token"
[topics.roof]
title = "The roof"
mode = "InMemory"
worker-queue-mode = "sqlite"
lease = "off"
keep-done = 1.5
max-jobs = 9
listed = false
menu = "menu.json"
submit-token = ["submit-token"]
"""


WEBHOOK = f"""
[[webhooks]]
url = "https://till.example/"
payload = true
secret = "{SECRET}"
"""


@pytest.fixture
def file(tmp_path):
    """Write a settings file, and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "dispatch.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def in_a_bar(tmp_path, monkeypatch):
    """Be in a folder with a menu."""
    (tmp_path / "menu.json").write_text('{"drinks": [{"id": "tea", "name": "Tea"}]}')
    monkeypatch.chdir(tmp_path)


def test_every_setting_can_be_in_a_file(called, file):
    """The keys are the options' names, the values TOML."""
    assert run("serve", "--config", file(EVERYTHING)).exit_code == 0
    settings = called["app"]
    assert (settings.port, settings.host) == (0, "::1")
    assert settings.job_queue_mode is Mode.IN_MEMORY
    assert settings.worker_queue_mode is Mode.SQLITE
    assert (settings.fsync, settings.repair, settings.keep_done_s) == (False, True, 1.5 * HOUR_S)
    assert (settings.lease_s, settings.on_doubt) == (600.0, OnDoubt.RESEND)
    assert settings.worker_tokens == ("worker-token", "another-token")
    assert settings.allow_callback == ("engine.example:8298",)
    assert (settings.max_jobs, settings.max_body_bytes, settings.orders_per_minute) == (7, 4096, 30)


def test_webhooks(called, file):
    """Each topic has its own; their secrets are printed nowhere."""
    text = WEBHOOK + "[topics.cellar]\n[topics.roof]\n" + WEBHOOK.replace("[[", "[[topics.roof.")
    assert run("serve", "--config", file(text)).exit_code == 0
    settings = called["app"]
    entry = WebhookEntry("https://till.example/", ("job.*",), True, SECRET)
    topics = settings.topics
    assert settings.webhooks == topics["roof"].webhooks == (entry,)
    assert topics["cellar"].webhooks == ()
    assert "whsec" not in repr(settings) + run("config", "--config", file(text)).stdout


def test_the_order_of_precedence(called, file):
    """Option, environment variable, file, default: the first one given wins."""
    config = file("port = 1\nmax-jobs = 1\nmax-workers = 1\n")
    environment = {"SANIC_DISPATCH_CONFIG": config, "SANIC_DISPATCH_MAX_JOBS": "2",
                   "SANIC_DISPATCH_MAX_WORKERS": "2"}  # fmt: skip
    assert run("serve", "--max-workers", "3", **environment).exit_code == 0
    settings = called["app"]
    assert (settings.port, settings.max_jobs, settings.max_workers) == (1, 2, 3)
    assert settings.max_depth == Settings().max_depth


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", "there is no setting 'prot'; did you mean 'port'?"),
        ("data_dir = '.'", "there is no setting 'data_dir'; did you mean 'data-dir'?"),
        ("x-x-x = 1", "there is no setting 'x-x-x'"),
        ("config = 'x'", "there is no setting 'config'"),
        ("[network]\nport = 1", "no setting 'network'; only a topic has a section, [topics.NAME]"),
        ("[topic.roof]\nlease = 3", "must be a text or a number; only a topic has a section, ["),
        ("[[webhook]]\nurl = ''", "there is no setting 'webhook'; did you mean 'webhooks'?"),
        ("port = {a = 1}", "port must be a text or a number"),
        ("port = 1970-01-01", "port must be a text or a number"),
        ("allow-callback = [[1]]", "allow-callback must be a text or a number"),
        ("repair = 'yes'", "repair must be true or false"),
        ("port = 'http'", "--port: 'http' is not a whole number (in {file})"),
        ("port = 70000", "--port must be from 0 to 65535, not 70000 (in {file})"),
        ("mode = 'Redmis'", "'Redmis' is none of"),
        ("port = ", "Invalid value"),
        ("topics = 1", "a topic is a section, [topics.NAME]"),
        ("[topics]\nroof = 1", "a topic is a section, [topics.NAME]"),
        ("[[topics]]\nroof = {}", "a topic is a section, [topics.NAME]"),
        ("[topics.Roof]", "[topics.NAME] 'Roof' is no name of a topic"),
        ("topic = 'the roof'", "--topic 'the roof' is no name of a topic: 1 to 63 of"),
        (ROOF + "port = 1", "topic roof: port is the same for all topics"),
        (ROOF + "topic = 'cellar'", "topic roof: topic is the same for all topics"),
        (ROOF + "tittle = 'x'", "topic roof: there is no setting 'tittle'; did you mean 'title'?"),
        (ROOF + "[topics.roof.menu]", "topic roof: menu must be a text or a number"),
        (ROOF + "listed = 'maybe'", "topic roof: listed: 'maybe' is none of on, off"),
        (ROOF + "max-jobs = 0", "topic roof: --max-jobs must be from 1 to 100000000, not 0"),
        (ROOF + 'title = "a\\nb"', "topic roof: --title must be one line of up to 60 characters"),
        (ROOF + "worker-token = 'short'", "topic roof: --worker-token"),
        (ROOF + "worker-token-file = '/no/such'", "topic roof: --worker-token-file"),
        ("webhooks = 1", "a webhook is a table, [[webhooks]]"),
        ("[[webhooks]]\nurl = 'https://a.example/'", "a webhook's secret is missing"),
        ("[[webhooks]]\nevents = 'job.*'", "a webhook's url is a URL"),
        (ROOF + "[[topics.roof.webhooks]]\nuri = ''", "topic roof: a webhook's uri is unknown"),
        (2 * WEBHOOK, "two webhooks have the same URL"),
        (WEBHOOK.replace("://", "//"), "a webhook's url: not an absolute URL with a scheme and"),
    ],
)
def test_a_wrong_entry_is_refused(called, file, text, words):
    """One line with what was probably meant, exit code 2, and nothing is started."""
    config = file(text)
    done = run("serve", "--config", config)
    assert done.exit_code == 2
    assert words.replace("{file}", config) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not called


def test_a_file_that_cannot_be_read_is_refused(called, tmp_path):
    """A missing file, or one that is not text, is named in the error."""
    for path in (tmp_path / "missing", tmp_path):
        done = run("serve", "--config", str(path))
        assert done.exit_code == 2
        assert str(path) in done.stderr
    assert not called


@pytest.mark.parametrize("number", ["1234567.25", "0.1", "3600", "off"])
def test_config_prints_numbers_as_they_were_given(number):
    """Numbers are printed in the option's unit, unrounded."""
    printed = run("config", "--lease", number, "--keep-done", "0.1").stdout
    assert str(tomllib.loads(printed)["lease"]) == number
    assert tomllib.loads(printed)["keep-done"] == 0.1


def test_config_says_where_each_comes_from(file):
    """Each line says default, file, env or flag."""
    config = file("port = 1\nmax-jobs = 1\n")
    done = run("config", "--config", config, "--max-depth", "9", "--json",
               SANIC_DISPATCH_MAX_JOBS="2")  # fmt: skip
    found = json.loads(done.stdout)
    assert found["port"] == {"value": 1, "origin": "file"}
    assert found["max-jobs"] == {"value": 2, "origin": "env"}
    assert found["max-depth"] == {"value": 9, "origin": "flag"}
    assert found["lease"] == {"value": "off", "origin": "default"}
    assert found.keys() == {setting.key for setting in SETTINGS}


@pytest.mark.usefixtures("in_a_bar")
def test_sections_of_topics(called, file):
    """A topic sets what its section has, and inherits the rest, but for title and listing."""
    config = "title = 'The house'\nlisted = false\n" + TOPICS
    assert run("serve", "--config", file(config), "--topic", "attic").exit_code == 0
    settings = called["app"]
    assert list(settings.topics) == ["attic", "roof"]  # the option overrides the list in the file
    roof, attic = settings.topics["roof"], settings.topics["attic"]
    assert (roof.title, roof.listed, roof.menu) == ("The roof", False, Path("menu.json"))
    assert (roof.job_queue_mode, roof.worker_queue_mode) == (Mode.IN_MEMORY, Mode.SQLITE)
    assert (roof.lease_s, roof.keep_done_s, roof.max_jobs) == (None, 1.5 * HOUR_S, 9)
    assert (roof.submit_tokens, roof.operator_tokens) == (("submit-token",), ("operator-token",))
    assert (attic.topic, attic.title, attic.listed) == ("attic", "", True)
    assert (attic.lease_s, attic.max_jobs, attic.data_dir) == (600.0, 7, Path("topics/attic"))


@pytest.mark.usefixtures("in_a_bar")
def test_config_says_what_topics_set(file):
    """A section for each, with what it sets itself."""
    found = json.loads(run("config", "--config", file(TOPICS), "--json").stdout)
    assert found["topics"].keys() == {"cellar", "roof"}
    assert found["topics"]["cellar"] == {}
    assert found["topics"]["roof"]["keep-done"] == {"value": 1.5, "origin": "file"}
    assert found["topics"]["roof"]["submit-token"] == {"value": ["…"], "origin": "file"}
    assert "port" not in found["topics"]["roof"]


@pytest.mark.usefixtures("in_a_bar")
@pytest.mark.parametrize(
    "text",
    ["", EVERYTHING, TOPICS, "title = 'Soon … here'", f"keep-history-size = {2**50 - 1}"],
)
def test_the_output_of_config_is_a_settings_file(called, file, text):
    """Given to serve, it makes the same settings, except for masked lines."""
    run("serve", "--config", file(text))
    before = called["app"]
    printed = run("config", "--config", file(text)).stdout
    assert "-token =" not in re.sub("^#.*", "", printed, flags=re.M)
    assert run("serve", "--config", file(printed)).exit_code == 0
    assert without_tokens(called["app"]) == without_tokens(before)


def without_tokens(settings):
    """Return the settings of all topics without their tokens."""
    topics = {name: without_tokens(own) for name, own in settings.topics.items()}
    return replace(settings, topics=topics, worker_tokens=(), submit_tokens=(), operator_tokens=())


def test_config_shows_webhooks(called, file):
    """Those of each topic, as comments, without secrets and without keys in their URLs."""
    secretive = WEBHOOK.replace("till.example/", "till.example/a?key=canary")
    text = secretive + "[topics.roof]\n" + WEBHOOK.replace("[[", "[[topics.roof.")
    printed = run("config", "--config", file(text)).stdout
    assert "# [[webhooks]]" in printed
    assert "# [[topics.roof.webhooks]]" in printed
    assert '# url = "https://till.example/a"\n# events = ["job.*"]\n# payload = true' in printed
    assert "canary" not in printed
    assert SECRET not in printed
    assert run("serve", "--config", file(printed)).exit_code == 0
    assert called["app"].webhooks == ()
    found = json.loads(run("config", "--config", file(text), "--json").stdout)
    shown = {"events": ["job.*"], "payload": True, "secret": "…"}
    assert found["webhooks"] == {
        "value": [{"url": "https://till.example/a", **shown}], "origin": "file",
    }  # fmt: skip
    assert found["topics"]["roof"]["webhooks"]["value"] == [
        {"url": "https://till.example/", **shown}
    ]


def test_config_masks_secrets(file):
    """No token and no password in a URL is printed, valid or not."""
    config = file(
        "submit-token = ['file-canary']\npublic-url = 'https://a.example/?token=url-canary'"
    )
    for extra in ((), ("--json",)):
        done = run("config", "--config", config, "--operator-token", "flag-canary", *extra,
                   SANIC_DISPATCH_WORKER_TOKEN="env-canary")  # fmt: skip
        assert done.exit_code == 0
        assert "canary" not in done.output
        assert "operator-token" in done.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--redis-url", "redis://bar:canary@redis.example:6380/1"),
        ("--redis-url", "redis://:can@canary@redis.example"),
        ("--redis-url", "redis://b@r:canary@redis.example"),
        ("--redis-url", "rediss://redis.example/?password=canary&ssl_password=canary&db=1"),
        ("--public-url", "https://bar.example:8443/?lang=de&TOKEN=canary"),
    ],
)
def test_config_masks_passwords_in_urls(option, value):
    """Passwords are masked in any form of URL; the rest of the URL is printed."""
    done = run("config", option, value, "--json")
    shown = json.loads(done.stdout)[option[2:]]["value"]
    assert "can" not in shown
    assert ".example" in shown
    assert "…" in shown


@pytest.mark.parametrize(
    ("option", "value"),
    [("--public-url", "https://bar.example:8443/drinks/?lang=de"),
     ("--redis-url", "redis://redis.example:6380/1"),
     ("--redis-url", "redis://localhost:6379/0")],
)  # fmt: skip
def test_config_prints_urls_without_secrets(option, value):
    """A URL without a secret is printed unchanged."""
    printed = run("config", option, value).stdout
    assert tomllib.loads(printed)[option[2:]] == value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--worker-token", "canary with blanks"),
        ("--public-url", "https://ada:canary@bar.example/"),
        ("--public-url", "bar.example/?token=canary"),
        ("--redis-url", "http://:canary@redis.example"),
        ("--redis-url", "redis://:canary@redis.example:99999"),
        ("--redis-url", "redis://:canary@redis.example:port"),
        ("--redis-url", "redis://:123/canary@redis.example"),
        ("--redis-url", "redis://:123?canary@redis.example"),
        ("--redis-url", "redis://:123#canary@redis.example"),
        ("--redis-url", "redis://redis.example/0?canary=1"),
        ("--redis-url", "redis://redis.example/0?%70assword=canary"),
    ],
)
def test_a_secret_that_is_refused_is_not_repeated(option, value):
    """The error has the reason, and not the value."""
    refused = run("config", option, value)
    assert refused.exit_code == 2
    assert option in refused.output
    assert "canary" not in refused.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("public = '/no/such/folder'", "is not a folder"),
        ("allow-callback = 'http://a.example/'", "--allow-callback 'http://a.example/' is neither"),
        ("allow-webhook = 'a.example:0'", "--allow-webhook 'a.example:0': the port is not"),
        ("allow-push = '169.254.0.0/16'", "--allow-push '169.254.0.0/16' is among those"),
        ("tls-cert = '/no/such'\ntls-key = '/no/such'", "--tls-cert /no/such: No such file"),
    ],
)
def test_config_checks_as_serve_does(file, text, words):
    """What keeps serve from starting is refused."""
    done = run("config", "--config", file(text))
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


def test_the_storage_commands_take_the_file(file, tmp_path):
    """check reads the data folder from the file, and ignores its other settings."""
    (tmp_path / "data").mkdir()
    config = file(f"port = 1\ndata-dir = '{tmp_path / 'data'}'")
    done = run("check", "--config", config)
    assert (done.exit_code, done.stdout) == (0, "nothing is stored here\n")


def test_config_has_help():
    """config is a command with a help text."""
    assert "config" in cli.commands
    assert "origin" in run("config", "--help").output
