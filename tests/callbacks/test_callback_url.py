"""The CPEE-CALLBACK header, and the host and port of a URL."""

from __future__ import annotations

import pytest

from sanic_dispatch.callbacks.url import Target, parse_callback, split_url
from sanic_dispatch.errors import InvalidCallback

GOOD = [
    "http://127.0.0.1:8298/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/",
    "http://127.0.0.1:8298/4/callbacks/5480964890e4a865b1cee2b2fe93f45a",
    "https://engine.example.org/flow/engine/4/callbacks/1/",
    "HTTP://Engine.Example.ORG./x",
    "http://engine_1:8298/x?a=b&c=%20d;e#f",
    "http://[::1]:8298/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://h",
    "http://h?x",
    "http://h:/",
    "http://h:1/",
    "http://h:65535/",
    "http://2130706433/",
    "http://user:password@h/",
    "http://h/\\odd|but^visible`{}<>\"'",
    "ftp://h/x",
    "gopher://h:70/x",
    "file://h/etc/passwd",
    "ws+unix://h/",
]
NOT_A_URL = [
    "",
    "h",
    "/4/callbacks/1/",
    "//h/x",
    "h:8298/x",
    "http:",
    "http:/h/x",
    "http:h",
    "http://",
    "http:///x",
    "http://?x",
    "http://:80/",
    "http://@/",
    "http://user@/",
    "http://h:65536/",
    "http://h:99999/",
    "http://h:0/",
    "http://h:-1/",
    "http://h:+80/",
    "http://h:8_0/",
    "http://h:80a/",
    "http://h:80:80/",
    "http://h:123456/",
    "http://[::1/",
    "http://::1/",
    "http://[]/",
    "http://[::1]x/",
    "http://[fe80::1%25eth0]/",
    "http://[v1.a]/",
    "http://a..b/",
    "http://.a/",
    "http://a,b/",
    "http://*/",
    "http://<h>/",
    "http://a%2eb/",
    "http://%31%32%37.0.0.1/",
    "http://good\\evil/",
    "http://good\\@evil/",
    "http://good@evil@h/",
    "http://[12345::]/",
    "http://[127.0.0.1]/",
    "http://" + "a" * 64 + "/",
    "http://" + "a." * 128 + "/",
    "1http://h/",
    ":http://h/",
    "mailto:a@b",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "data:text/plain,x",
]
NOT_A_STRING = [
    "http://h/a b",
    " http://h/",
    "http://h/\t",
    "http://h/\r\nX: y",
    "http://h/\x00",
    "http://h/\x1b[31m",
    "http://h/\x7f",
    "http://h/ü",
    "http://１２７.0.0.1/",
    "http://h:٨/",
    "http://h/\udcff",
]


@pytest.mark.parametrize("header", GOOD)
def test_good(header):
    """An absolute URL with scheme and host is accepted unchanged."""
    assert parse_callback(header) == header


def test_missing():
    """A missing header is reported as Missing."""
    with pytest.raises(InvalidCallback) as caught:
        parse_callback(None)
    assert caught.value.code == "Missing"


@pytest.mark.parametrize("header", NOT_A_STRING)
def test_not_a_string(header):
    """A header that is not visible ASCII is NotAString."""
    with pytest.raises(InvalidCallback) as caught:
        parse_callback(header)
    assert caught.value.code == "NotAString"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("header", NOT_A_URL)
def test_not_a_url(header):
    """A URL without scheme or host, or with a bad port, is NotAUrl."""
    with pytest.raises(InvalidCallback) as caught:
        parse_callback(header)
    assert caught.value.code == "NotAUrl"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("HTTP://Engine.ORG:8298/x", Target("http", False, "engine.org", 8298)),
        ("https://h/x@y:1", Target("https", False, "h", 443)),
        ("http://h?@evil:1/", Target("http", False, "h", 80)),
        ("http://h#@evil/", Target("http", False, "h", 80)),
        ("http://@h/", Target("http", True, "h", 80)),
        ("http://evil:80@h:81/", Target("http", True, "h", 81)),
        ("http://[::FFFF:7F00:1]:80/", Target("http", False, "::ffff:7f00:1", 80)),
        ("ftp://h/", Target("ftp", False, "h", 0)),
    ],
)
def test_split(url, target):
    """Host and port are those that a client would connect to."""
    assert split_url(url) == target
