"""Settings: their defaults, and what is refused before anything starts."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from sanic_dispatch.app import policy_of
from sanic_dispatch.config.settings import Mode, OnDoubt, Settings
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import SettingsError


def test_defaults_are_the_originals():
    """By default: port 2567, and cached JSON files in the current folder."""
    settings = Settings()
    assert (settings.port, settings.host) == (2567, "")
    assert settings.job_queue_mode is settings.worker_queue_mode is Mode.CACHED_JSON_FILE
    assert settings.data_dir == Path()


def test_the_default_policy_is_that_of_the_default_settings():
    """The core's default policy equals that of the default settings."""
    assert policy_of(Settings()) == Policy()


def test_settings_are_immutable():
    """Settings are validated once and cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "jobs", "workers"),
    [
        ({}, "InMemory", "InMemory"),
        ({"job_queue_mode": Mode.JSON_FILE}, "JsonFile", "InMemory"),
        ({"worker_queue_mode": Mode.JSON_FILE}, "InMemory", "JsonFile"),
        ({"job_queue_mode": None, "worker_queue_mode": None}, "InMemory", "InMemory"),
    ],
)
def test_own_mode_of_a_queue_overrides_mode(given, jobs, workers):
    """The mode of a queue overrides ``mode``."""
    settings = Settings.of(mode=Mode.IN_MEMORY, **given)
    assert (settings.job_queue_mode, settings.worker_queue_mode) == (jobs, workers)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"port": 65536}, "--port must be from 0 to 65535, not 65536"),
        ({"port": -1}, "--port must be from 0 to 65535, not -1"),
        ({"submit_wait_s": -1}, "--submit-wait must be from 0 to 3600 seconds, not -1"),
        ({"submit_wait_s": math.nan}, "--submit-wait must be from 0 to 3600 seconds, not nan"),
        (
            {"callback_timeout_s": 0},
            "--callback-timeout must be from 0.001 to 3600 seconds, not 0",
        ),
        ({"keep_done_s": -3600}, "--keep-done must be from 0 to 87600 hours, not -1"),
        (
            {"worker_patience_s": math.inf},
            "--worker-patience must be from 0 to 87600 hours, not inf",
        ),
        ({"max_attempts": 0}, "--max-attempts must be from 1 to 1000, not 0"),
        ({"lease_s": 0}, "--lease must be from 0.001 to 315360000 seconds, not 0"),
        ({"max_jobs": 0}, "--max-jobs must be from 1 to 100000000, not 0"),
        ({"max_workers": 0}, "--max-workers must be from 1 to 1000000, not 0"),
        ({"max_rules": 0}, "--max-rules must be from 1 to 10000, not 0"),
        ({"priority_step_s": 0}, "--priority-step must be from 1 to 315360000 seconds, not 0"),
        (
            {"fair_by": "name"},
            "--fair-by 'name': a JSON pointer is like /guest/name",
        ),
        ({"max_depth": 0}, "--max-depth must be from 1 to 500, not 0"),
        ({"max_connections": 0}, "--max-connections must be from 1 to 1000000, not 0"),
        ({"orders_per_minute": 0}, "--orders-per-minute must be from 1 to 100000, not 0"),
        ({"max_body_bytes": 0}, "--max-body must be from 1024 to 1073741824 bytes, not 0"),
    ],
)
def test_out_of_range(given, line):
    """What is out of range is refused in one line: option, range, unit, value."""
    with pytest.raises(SettingsError) as refused:
        Settings(**given)
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h/0?decode_responses=1", "options besides db, username, password, client_name"),
        ("redis://h/0?max_connections=1", "options besides"),
        ("redis://h/0?protocol=3", "options besides"),
        ("redis://h/0?socket_timeout=9", "options besides"),
        ("redis://h/0?ssl_cert_reqs=none", "options besides"),
        ("rediss://h/0?timeout=1", "ssl_ca_certs"),
        ("redis://h/0?db=1", "gives more than once: db"),
        ("redis://h/?db=1&db=2", "gives more than once: db"),
        ("redis://a:b@h/0?password=c&username=d", "gives more than once: password, username"),
        ("redis://h/bar", "more than the number of a database"),
        ("redis://h/1/2", "more than the number of a database"),
        ("unix:///run/redis.sock#1", "more than the number of a database"),
    ],
)
def test_redis_urls_that_are_refused(url, says):
    """Unknown options, values given twice, and a path that is not a database are refused."""
    with pytest.raises(SettingsError, match=f"^--redis-url .*{says}"):
        Settings(redis_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h/",
        "redis://[::1]:6380/15?client_name=bar",
        "redis://bar:p%2F%3F@h/0",
        "rediss://h/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=1&password=p",
    ],
)
def test_redis_urls(url):
    """A Redis URL has host, user, database and certificates."""
    assert Settings(redis_url=url).redis_url == url


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "::", "::1", "fe80::1", "bar.local"])
def test_hosts(host):
    """A host is an IPv4 or IPv6 address or a name; empty means every interface."""
    assert Settings(host=host).host == host


@pytest.mark.parametrize(
    "host", ["http://bar", "bar:2567", "[::1]", "a b", "bar/", "x\r\ny", "bar\n", "::g"]
)
def test_not_a_host(host):
    """A scheme, a port, brackets or blanks in a host are refused in one line."""
    with pytest.raises(SettingsError, match="is neither an address nor a name") as refused:
        Settings(host=host)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "bar-1:2567",
            "http://bar-1:2567",
            "http://a@bar-1/",
            "http://bar-1/?a",
            "http://bar-1/#",
        ),
        *("http://bar-1:0/", "http://bar-1:65536/", "http://[bar-1]/"),
    ],
)
def test_what_cannot_be_advertised(url):
    """A process's own URL has a scheme and a port, if any, that exists, and ends with a slash.

    It has no user, query or fragment.
    """
    with pytest.raises(
        SettingsError, match=r"^--advertise must be a URL such as http://10\.0\.0\.7"
    ):
        Settings(advertise=url)


def test_a_prefix_of_keys_that_is_a_named_topics():
    """A prefix that would be the keys of a topic of another prefix is refused; others are not."""
    assert Settings(redis_prefix="bar:topics").redis_prefix == "bar:topics"
    named = Settings.of(Mode.REDIS, topic_names=("beer",)).topics["beer"]
    with pytest.raises(SettingsError, match=r"^--redis-prefix .* must not contain :topics:, or"):
        Settings(redis_prefix=named.redis_keys)


def test_public_must_be_a_folder(tmp_path):
    """A folder of own pages that is missing, or is a file, is refused at the start."""
    (tmp_path / "file").touch()
    for public in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(SettingsError, match="is not a folder"):
            Settings(public=public)


@pytest.mark.parametrize("inside", [".", "queue", "link/queue"])
def test_data_is_never_public(tmp_path, inside):
    """A data folder inside the public folder is refused: everyone could read the jobs."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="everybody could read the jobs"):
        Settings(public=tmp_path, data_dir=tmp_path / inside)


def test_public_beside_or_inside_data_is_fine(tmp_path):
    """A public folder beside or inside the data folder is allowed."""
    (tmp_path / "pages").mkdir()
    Settings(public=tmp_path / "pages", data_dir=tmp_path)
    Settings.of(mode=Mode.IN_MEMORY, public=tmp_path, data_dir=tmp_path)


def test_needs_data_dir():
    """A data folder is needed if any queue is durable."""
    modes = [Mode.IN_MEMORY, Mode.JSON_FILE]
    needed = [
        Settings(job_queue_mode=jobs, worker_queue_mode=workers).needs_data_dir
        for jobs in modes
        for workers in modes
    ]
    assert needed == [False, True, True, True]


def topics_of(*names, **own):
    """Return the settings of the topics of a service in memory."""
    return Settings.of(mode=Mode.IN_MEMORY, topic_names=names, topics=own).topics


@pytest.mark.parametrize("name", ["a", "0", "roof-2", "a-", "x" * 63])
def test_names_of_topics(name):
    """Names are allowed that are good in URLs and for folders."""
    assert list(topics_of(name)) == [name]


@pytest.mark.parametrize("name", ["", "-a", "Roof", "ro.of", "..", "a/b", "ä", "a\n", "x" * 64])
def test_names_that_are_none(name):
    """The option, the name and what is allowed are in the error."""
    allowed = "is no name of a topic: 1 to 63 of a-z, 0-9 and -, not - first"
    with pytest.raises(SettingsError, match=re.escape(f"--topic {name!r} {allowed}")):
        topics_of(name)
    with pytest.raises(SettingsError, match=re.escape(f"[topics.NAME] {name!r} {allowed}")):
        topics_of(**{name: {}})


def test_a_topic_may_be_named_twice():
    """By the option and by a section: it is one topic, at the option's place."""
    assert list(topics_of("a", "b", "a", c={}, b={"max_jobs": 1})) == ["a", "b", "c"]


def test_what_a_topic_inherits(tmp_path):
    """Everything but its name, its title, whether it is listed, and its folder."""
    (tmp_path / "tokens").write_text("from-a-file\n")
    own = {"submit_token_files": (tmp_path / "tokens",)}
    service = Settings.of(
        mode=Mode.SQLITE,
        title="The house",
        listed=False,
        lease_s=600.0,
        submit_tokens=("of-the-house",),
        data_dir=tmp_path,
        topics={"roof": own, "cellar": {"mode": Mode.IN_MEMORY, "lease_s": None}},
    )
    roof, cellar = service.topics["roof"], service.topics["cellar"]
    assert (roof.title, roof.listed, roof.topics) == ("", True, {})
    assert (roof.lease_s, roof.submit_tokens) == (600.0, ("from-a-file",))
    assert roof.data_dir == tmp_path / "topics" / "roof"
    assert (cellar.lease_s, cellar.submit_tokens) == (None, ("of-the-house",))
    assert (roof.needs_data_dir, cellar.needs_data_dir) == (True, False)


def test_a_public_url_that_is_too_long_for_a_topic():
    """The line says so, and does not repeat the URL; a topic with one of its own needs none."""
    url = f"https://bar.example/?token={'a' * 256}"
    own = {"public_url": "https://roof.example/"}
    service = Settings.of(mode=Mode.IN_MEMORY, public_url=url, topics={"r" * 63: own})
    assert service.public_url == url
    with pytest.raises(SettingsError, match="its own would have over 300 characters") as caught:
        Settings.of(mode=Mode.IN_MEMORY, public_url=url, topics={"r" * 63: {}})
    assert "aaa" not in str(caught.value)


def test_the_port_of_all_topics():
    """A topic is at the port of its service, also if that took any free one."""
    service = Settings.of(mode=Mode.IN_MEMORY, port=0, topic_names=("roof",)).with_port(8080)
    assert (service.port, service.topics["roof"].port) == (8080, 8080)


def test_keys_in_redis():
    """Each topic's keys begin differently; those of the unnamed topic are as they were."""
    service = Settings.of(mode=Mode.REDIS, topic_names=("roof",))
    assert service.redis_keys == "sanic-dispatch"
    assert service.topics["roof"].redis_keys == "sanic-dispatch:topics:roof"


@pytest.mark.parametrize(
    ("on_doubt", "resend"), [(OnDoubt.AUTO, None), (OnDoubt.HOLD, False), (OnDoubt.RESEND, True)]
)
def test_resend_doubt(on_doubt, resend):
    """``auto`` decides by the kind of worker; the other two values decide for all."""
    assert Settings(on_doubt=on_doubt).resend_doubt is resend


def test_processes_that_others_cannot_reach():
    """--workers and --advertise contradict each other; a process's own address is no such thing."""
    values = {"mode": Mode.REDIS, "workers": 2, "topics": {"roof": {}}}
    with pytest.raises(SettingsError, match="^--workers 2: these processes reach each other at"):
        Settings.of(advertise="http://10.0.0.7:2567/", **values)
    own = Settings.of(**values).with_process(1, "127.0.0.1", 4711)
    assert own.topics["roof"].advertise == own.advertise == "http://127.0.0.1:4711/"
