"""The options of serve and demo: their settings, and how wrong ones are refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sanic_dispatch import __version__
from sanic_dispatch.config.settings import DEFAULTS, SETTINGS, Mode, OnDoubt, Settings
from sanic_dispatch.errors import PortUnavailable, StartError
from sanic_dispatch.observability import log
from tests.support.command_line import PROGRAM, options_of, run
from tests.support.settings_table import PAGE, with_tables


def test_no_options_are_the_defaults(called):
    """The defaults of the options are those of Settings."""
    assert run("serve").exit_code == 0
    assert called["app"] == Settings()


def test_every_option_reaches_the_settings(called, tmp_path):
    """Each option sets its field; durations arrive in seconds."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "menu.json").write_text('{"drinks": [{"id": "tea", "name": "Tea"}]}')
    (tmp_path / "tokens").write_text("from-a-file\n")
    flags = {
        "--port": "0",
        "--host": "::1",
        "--tls-cert": str(tmp_path / "tokens"),
        "--tls-key": str(tmp_path / "tokens"),
        "--public": str(tmp_path / "pages"),
        "--menu": str(tmp_path / "menu.json"),
        "--public-url": "https://bar.example/drinks/",
        "--topic": "roof",
        "--title": "The bar",
        "--listed": "off",
        "--job-queue-mode": "InMemory",
        "--worker-queue-mode": "JsonFile",
        "--data-dir": str(tmp_path),
        "--fsync": "off",
        "--keep-done": "1.5",
        "--keep-history": "0.5",
        "--keep-history-size": "1048576",
        "--history-payloads": "off",
        "--redis-url": "redis://elsewhere:1/2",
        "--redis-prefix": "bar",
        "--workers": "1",
        "--priority-step": "60",
        "--fair-by": "/guest/table",
        "--submit-wait": "0.5",
        "--callback-timeout": "3",
        "--max-attempts": "5",
        "--lease": "600",
        "--on-doubt": "resend",
        "--worker-patience": "2",
        "--probe-after": "30",
        "--unconsumed-after": "45",
        "--stop-grace": "4",
        "--worker-token": "worker-token",
        "--worker-token-file": str(tmp_path / "tokens"),
        "--submit-token": "submit-token",
        "--submit-token-file": str(tmp_path / "tokens"),
        "--priority-token": "priority-token",
        "--priority-token-file": str(tmp_path / "tokens"),
        "--operator-token": "operator-token",
        "--operator-token-file": str(tmp_path / "tokens"),
        "--allow-callback": "engine.example:8298",
        "--trusted-proxy": "10.0.0.0/8",
        "--cors-origin": "https://a.example",
        "--allow-origin": "https://b.example",
        "--frame-ancestors": "self",
        "--max-jobs": "7",
        "--max-workers": "8",
        "--max-rules": "9",
        "--max-body": "4096",
        "--max-depth": "9",
        "--max-connections": "10",
        "--orders-per-minute": "30",
        "--request-timeout": "9",
        "--log-format": "json",
        "--log-level": "debug",
    }
    words = (word for pair in flags.items() for word in pair)
    assert run("serve", *words, "--repair", "--priorities").exit_code == 0
    assert replace(called["app"], topics={}) == Settings(
        repair=True,
        priorities=True,
        port=0,
        host="::1",
        tls_cert=tmp_path / "tokens",
        tls_key=tmp_path / "tokens",
        public=tmp_path / "pages",
        menu=tmp_path / "menu.json",
        public_url="https://bar.example/drinks/",
        topic_names=("roof",),
        title="The bar",
        listed=False,
        job_queue_mode=Mode.IN_MEMORY,
        worker_queue_mode=Mode.JSON_FILE,
        data_dir=tmp_path,
        fsync=False,
        keep_done_s=5400.0,
        keep_history_s=43_200.0,
        keep_history_bytes=2**20,
        history_payloads=False,
        redis_url="redis://elsewhere:1/2",
        redis_prefix="bar",
        priority_step_s=60.0,
        fair_by="/guest/table",
        submit_wait_s=0.5,
        callback_timeout_s=3.0,
        max_attempts=5,
        lease_s=600.0,
        on_doubt=OnDoubt.RESEND,
        worker_patience_s=7200.0,
        stop_grace_s=4,
        probe_after_s=30.0,
        unconsumed_after_s=45.0,
        worker_tokens=("worker-token", "from-a-file"),
        submit_tokens=("submit-token", "from-a-file"),
        priority_tokens=("priority-token", "from-a-file"),
        operator_tokens=("operator-token", "from-a-file"),
        allow_callback=("engine.example:8298",),
        trusted_proxies=("10.0.0.0/8",),
        cors_origins=("https://a.example",),
        allow_origins=("https://b.example",),
        frame_ancestors=("self",),
        max_jobs=7,
        max_workers=8,
        max_rules=9,
        max_body_bytes=4096,
        max_depth=9,
        max_connections=10,
        orders_per_minute=30,
        request_timeout_s=9.0,
        log_format="json",
        log_level="debug",
    )
    known = {option.setting.flag for option in options_of("serve")}
    assert {*flags, "--mode", "--repair", "--priorities", "--config"} <= known


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_default_can_be_given(called, tmp_path, setting):
    """Defaults as config prints them, in a variable or in a file, make the default settings."""
    written = setting.written(setting.default)
    if not written and not isinstance(written, bool):
        return
    file = tmp_path / "dispatch.toml"
    file.write_text(f"{setting.key} = {json.dumps(written)}")
    in_words = ("on" if written else "off") if isinstance(written, bool) else str(written)
    for environment in ({variable_of(setting): in_words}, {"SANIC_DISPATCH_CONFIG": str(file)}):
        assert run("serve", **environment).exit_code == 0
        assert called.pop("app") == DEFAULTS


def variable_of(setting):
    """Return a setting's environment variable."""
    return "SANIC_DISPATCH_" + setting.key.upper().replace("-", "_")


def test_the_originals_command_line_works(called):
    """-p, -m and a mode per queue mean what they meant in the original."""
    run("serve", "-p", "8080", "-m", "InMemory", "--worker-queue-mode", "JsonFile")
    settings = called["app"]
    assert settings.port == 8080
    assert settings.job_queue_mode is Mode.IN_MEMORY
    assert settings.worker_queue_mode is Mode.JSON_FILE


@pytest.mark.parametrize("mode", list(Mode))
def test_modes_in_any_case(called, mode):
    """A mode is understood in any case."""
    for word in (mode.upper(), mode.lower(), str(mode)):
        assert run("serve", "--mode", word).exit_code == 0
        assert called["app"].job_queue_mode is mode


def test_environment(called):
    """Every setting is an environment variable; the command line wins; empty means not given."""
    environment = {
        "SANIC_DISPATCH_PORT": "1234",
        "SANIC_DISPATCH_MODE": "inmemory",
        "SANIC_DISPATCH_LEASE": "",
        "SANIC_DISPATCH_KEEP_DONE": "48",
    }
    run("serve", "--port", "4321", **environment)
    settings = called["app"]
    assert (settings.port, settings.job_queue_mode) == (4321, Mode.IN_MEMORY)
    assert (settings.lease_s, settings.keep_done_s) == (None, 48 * 3600)


@pytest.mark.parametrize("word", ["on", "ON", "1", "true", "yes", "off", "0", "False", "no"])
def test_a_switch_and_a_flag_take_the_same_words_in_a_variable(called, word):
    """Nobody has to know whether a setting is a switch or a flag."""
    run("serve", SANIC_DISPATCH_FSYNC=word, SANIC_DISPATCH_REPAIR=word)
    is_on = word.lower() in ("on", "1", "true", "yes")
    assert (called["app"].fsync, called["app"].repair) == (is_on, is_on)


def test_settings_with_several_values(called, tmp_path):
    """The option is repeated; a variable is separated by blanks, files as in PATH."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"token-{name}\n")
    files = f"{tmp_path / 'one'}:{tmp_path / 'two'}"
    flags = ("--allow-callback", "a.example", "--allow-callback", "10.0.0.0/8")
    environment = {
        "SANIC_DISPATCH_SUBMIT_TOKEN": "old-token new-token",
        "SANIC_DISPATCH_WORKER_TOKEN_FILE": files,
        "SANIC_DISPATCH_OPERATOR_TOKEN": "",
    }
    assert run("serve", *flags, **environment).exit_code == 0
    settings = called["app"]
    assert settings.allow_callback == ("a.example", "10.0.0.0/8")
    assert settings.submit_tokens == ("old-token", "new-token")
    assert settings.worker_tokens == ("token-one", "token-two")
    assert settings.operator_tokens == ()


def test_demo_writes_nothing_unless_told(called):
    """demo takes the same settings; its queues are in memory by default."""
    run("demo")
    assert called["demo"] == Settings.of(mode=Mode.IN_MEMORY)
    run("demo", "-m", "jsonfile", "--lease", "OFF")
    assert called["demo"] == Settings.of(mode=Mode.JSON_FILE)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "70000"], "sanic-dispatch: --port must be from 0 to 65535, not 70000"),
        (
            ["--public", "/no/such\nfolder"],
            r"sanic-dispatch: --public /no/such\nfolder is not a folder",
        ),
        (["--lease", "10m"], "sanic-dispatch: --lease: '10m' is not a number of seconds"),
    ],
)
def test_wrong_settings_are_one_line(arguments, line):
    """Wrong or contradictory settings are one line on stderr, and exit code 2."""
    done = subprocess.run([*PROGRAM, "serve", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line + "\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode", "Redmis"], f"'Redmis' is none of {', '.join(Mode)}"),
        (["--lease", "soon"], "'soon' is not a number of seconds"),
        (["--keep-done", "soon"], "'soon' is not a number of hours"),
        (["--port", "http"], "'http' is not a whole number"),
        (["--orders-per-minute", "few"], "'few' is not a whole number"),
        (["--prot", "1"], "No such option"),
    ],
)
def test_malformed_values_are_refused(called, arguments, words):
    """The error says what was expected, with exit code 2."""
    done = run("serve", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not called


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("PORT", "http", "--port: 'http' is not a whole number"),
        ("PORT", "70000", "--port must be from 0 to 65535, not 70000"),
        ("WORKER_TOKEN", "token-one two", "--worker-token: a token has 8 to 256 characters"),
        ("REPAIR", "maybe", "--repair: 'maybe' is not a valid boolean. Recognized values: "),
    ],
)
def test_a_wrong_value_in_a_variable(called, variable, value, line):
    """One line that names the variable."""
    name = f"SANIC_DISPATCH_{variable}"
    done = run("serve", **{name: value})
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sanic-dispatch: {line}")
    assert done.stderr.endswith(f" (in {name})\n")
    assert done.stderr.count("\n") == 1
    assert not called


@pytest.fixture
def restored_log():
    """The log of the other tests, after one in which a command has set it up."""
    yield
    log.configure()


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_misspelt_variable_is_warned_of(called, restored_log, command):
    """One line of the log, with the nearest name and without the value; the service starts."""
    done = run(
        command,
        SANIC_DISPATCH_PRT="8080",
        SANIC_DISPATCH_OPERATER_TOKEN="a-secret-token",
        SANIC_DISPATCH_XYZZY_XYZZY="1",
        SANIC_DISPATCH_LOG_FORMAT="json",
    )
    assert done.exit_code == 0
    assert called
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "variable.unknown")
    ] * 3
    assert {line["variable"]: line["hint"] for line in lines} == {
        "SANIC_DISPATCH_PRT": "did you mean SANIC_DISPATCH_PORT?",
        "SANIC_DISPATCH_OPERATER_TOKEN": "did you mean SANIC_DISPATCH_OPERATOR_TOKEN?",
        "SANIC_DISPATCH_XYZZY_XYZZY": "see serve --help",
    }
    assert "a-secret-token" not in done.stderr


def test_variables_of_other_commands_are_known(called):
    """Those of clients, and that of a shell's completion, are no settings of a server."""
    done = run(
        "serve",
        SANIC_DISPATCH_URL="http://localhost:2567/",
        SANIC_DISPATCH_TOKEN="a-token",
        _SANIC_DISPATCH_COMPLETE="",
    )
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(PortUnavailable("", 80, "Permission denied"), 1), (StartError("no\x1b[31m\nway"), 1)],
)
def test_an_error_at_the_start_is_one_line(monkeypatch, error, exit_code):
    """One printable line on stderr, the error's exit code, and no traceback."""

    def serve(_settings):
        raise error

    monkeypatch.setitem(sys.modules, "sanic_dispatch.app", SimpleNamespace(serve=serve))
    done = run("serve")
    assert done.exit_code == exit_code
    assert done.stdout == ""
    assert re.fullmatch(r"sanic-dispatch: [ -~]+\n", done.stderr)


def test_version():
    """--version prints the version."""
    assert run("--version").output == f"sanic-dispatch, version {__version__}\n"


def test_operations_doc_has_the_declared_settings():
    """The tables of docs/operations.md are made from the declarations."""
    assert PAGE.read_text() == with_tables(PAGE.read_text()), (
        "renew it: python -m tests.support.settings_table"
    )
