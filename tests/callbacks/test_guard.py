"""The addresses that may be called: a table for each rule, and no connection to others."""

from __future__ import annotations

import pytest

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.outcome import Accepted, Refused
from sanic_dispatch.errors import CallbackForbidden, SettingsError

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff05::2",
    "ff0e::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100::1",
    "200::1",
    "4000::1",
    "8000::1",
    "::2",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::1",
    "64:ff9b:1::7f00:1",
    # wrapped, as IPv4-mapped
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
    "::ffff:255.255.255.255",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    # IPv4-compatible
    "::127.0.0.1",
    "::7f00:1",
    "::169.254.169.254",
    "::10.0.0.1",
    "::8.8.8.8",
    # NAT64
    "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::192.168.0.1",
    "64:ff9b::0.0.0.0",
    "64:ff9b::224.0.0.1",
    "64:ff9b::100.100.100.200",
    "64:ff9b::192.0.0.8",
    # 6to4
    "2002:7f00:1::",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2002:a00:1::",
    "2002:c0a8:1::",
    "2002::",
    "2002:e000:1::",
    "2002:c000:8::",
    # Teredo: its client's address is stored inverted
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:0:4136:e378:8000:63bf:5601:5601",
    "2001:0:7f00:1::f7f7:f7f7",
    "2001:0:a9fe:a9fe::f7f7:f7f7",
]
MAY = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "8.8.8.8",
    "203.0.113.5",
    "::1",
    "fd00::1",
    "fc00::1",
    "2001:db8::1",
    "2606:4700::1111",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::",
    "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
]
ODD = [
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.0.0.01",
    "127.0.0.1.1",
    "127.0.0.256",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "0X7F000001",
    "0x7f000001",
    "0x",
    "0",
    "1",
    "2130706433",
    "2852039166",
    "017700000001",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "4294967295",
    "99999999999",
    "1.2.3.4.5",
    "10.1",
    "192.168.257",
    "engine.1",
    "engine.0x7f",
    "[:::1]",
    "[1::2::3]",
    "[12345::]",
    "[::1.2.3]",
    "[::127.0.0.256]",
    "[127.0.0.1]",
    "[.]",
]
OTHER = [
    ("ftp://127.0.0.1/", "only http and https may be called"),
    ("file://127.0.0.1/etc/passwd", "only http and https may be called"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "only http and https may be called"),
    ("dict://127.0.0.1:11211/", "only http and https may be called"),
    ("ws://127.0.0.1/", "only http and https may be called"),
    ("http+unix://socket/", "only http and https may be called"),
    ("http://user@127.0.0.1/", "a URL with a user name may not be called"),
    ("http://user:password@127.0.0.1/", "a URL with a user name may not be called"),
    ("http://@127.0.0.1/", "a URL with a user name may not be called"),
    ("http://:@127.0.0.1/", "a URL with a user name may not be called"),
    ("http://8.8.8.8@127.0.0.1/", "a URL with a user name may not be called"),
    ("http://8.8.8.8:80@169.254.169.254/", "a URL with a user name may not be called"),
    ("http://8.8.8.8\\@169.254.169.254/", "not an absolute URL with a scheme and a host"),
    ("http://169.254.169.254%2f@8.8.8.8/", "a URL with a user name may not be called"),
    ("http://[fe80::1%25lo]/", "not an absolute URL with a scheme and a host"),
    ("http://%31%36%39.254.169.254/", "the host is neither a name nor an address"),
    ("http://169。254。169。254/", "the host is neither a name nor an address"),
    ("http://①②⑦.0.0.1/", "the host is neither a name nor an address"),
    ("not a url", "not an absolute URL with a scheme and a host"),
    ("", "not an absolute URL with a scheme and a host"),
]


def url_of(ip):
    return f"http://[{ip}]:8298/4/" if ":" in ip else f"http://{ip}:8298/4/"


FORBIDDEN = [
    *(url_of(ip) for ip in NEVER),
    *(f"http://{host}/" for host in ODD),
    *(url for url, _ in OTHER),
]


def test_the_table_is_long_enough():
    """The rule is tried with at least 120 URLs."""
    assert len(set(FORBIDDEN)) >= 115
    assert len({*FORBIDDEN, *map(url_of, MAY)}) >= 134


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_forbidden(callbacks, url):
    """A forbidden URL is refused before anything is sent or resolved."""
    with pytest.raises(CallbackForbidden) as caught:
        Guard().check_url(url)
    assert await callbacks.deliver(url, b"1") == Refused(f"may not be called: {caught.value}")
    assert await callbacks.is_pending(url) is None
    assert await callbacks.instance_state(url) is None


@pytest.mark.parametrize(("url", "reason"), OTHER)
def test_reasons(url, reason):
    """The reason says what is wrong, and has no part of the URL."""
    with pytest.raises(CallbackForbidden, match=f"^{reason}$"):
        Guard().check_url(url)


@pytest.mark.parametrize("ip", NEVER)
async def test_names_of_forbidden_addresses(open_callbacks, ip):
    """A name that resolves to a forbidden address is refused."""
    callbacks = await open_callbacks(lookup=lambda host: [ip])
    outcome = await callbacks.deliver("http://engine.example.org/", b"1")
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("may not be called: the address is ")


@pytest.mark.parametrize("ip", NEVER)
def test_an_allow_list_does_not_allow_forbidden_addresses(ip):
    """Addresses that are never called cannot be allowed either."""
    with pytest.raises(CallbackForbidden):
        Guard(["0.0.0.0/0", "::/0"]).check_address("h", ip, 80)


@pytest.mark.parametrize("ip", MAY)
def test_allowed_by_default(ip):
    """Loopback, private and public addresses may be called, on any port."""
    Guard().check_url(url_of(ip))
    Guard().check_address("engine.example.org", ip, 1)


@pytest.mark.parametrize(
    "host", ["localhost", "engine.example.org", "engine.", "7.example", "0x7f.example", "a-1"]
)
def test_names_are_judged_when_they_resolve(host):
    """A name is accepted at first; its addresses are judged at each connection."""
    Guard().check_url(f"http://{host}:8298/")


ALLOW = ["Engine.example.org", "one.example:8298", "10.0.0.0/8", "192.0.2.7:80", "[fd00::]/8:443"]


@pytest.mark.parametrize(
    ("host", "ip", "port"),
    [
        ("engine.example.org", "203.0.113.5", 1),
        ("ENGINE.example.org.", "127.0.0.1", 80),
        ("one.example", "203.0.113.5", 8298),
        ("any.example", "10.255.0.1", 9),
        ("any.example", "::ffff:10.0.0.1", 9),
        ("10.0.0.1", "10.0.0.1", 80),
        ("192.0.2.7", "192.0.2.7", 80),
        ("any.example", "fd12::1", 443),
    ],
)
def test_on_the_list(host, ip, port):
    """An entry allows a name whatever its address, or a network whatever the name."""
    Guard(ALLOW).check_address(host, ip, port)


@pytest.mark.parametrize(
    ("host", "ip", "port"),
    [
        ("evil.example.org", "203.0.113.5", 80),
        ("sub.engine.example.org", "203.0.113.5", 80),
        ("engine.example.org.evil", "203.0.113.5", 80),
        ("one.example", "203.0.113.5", 80),
        ("any.example", "11.0.0.1", 80),
        ("any.example", "127.0.0.1", 80),
        ("192.0.2.7", "192.0.2.7", 81),
        ("any.example", "fd12::1", 80),
        ("any.example", "2002:a00:1::", 80),
        ("engine.example.org", "169.254.169.254", 80),
    ],
)
def test_off_the_list(host, ip, port):
    """With a list, what it does not name is forbidden, and so are the addresses never called."""
    with pytest.raises(CallbackForbidden):
        Guard(ALLOW).check_address(host, ip, port)


@pytest.mark.parametrize(
    ("allow", "url", "allowed"),
    [
        (["one.example"], "http://one.example/", True),
        (["one.example"], "http://two.example/", False),
        (["one.example"], "http://127.0.0.1/", False),
        (["one.example:81"], "http://one.example/", False),
        (["one.example:443"], "https://one.example/", True),
        (["10.0.0.0/8"], "http://two.example/", True),
        (["10.0.0.0/8:81"], "http://two.example/", False),
        (["10.0.0.0/8"], "http://10.1.2.3:4/", True),
        (["10.0.0.0/8"], "http://11.1.2.3:4/", False),
        (["::1"], "http://[::1]:80/", True),
        (["[::1]:81"], "http://[::1]:80/", False),
        (["127.0.0.1"], "http://127.1/", False),
    ],
)
def test_judged_before_resolving(allow, url, allowed):
    """A name is refused without resolving it only if no entry could match its addresses."""
    try:
        Guard(allow).check_url(url)
    except CallbackForbidden:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.example", "a b", "http://h/", "10.0.0.0/33", "h:0", "h:65536", "h:x", "127.1"]
    + ["[::1", "[::1]x", "[::1]:", "10.0.0.1/8/8", "h/8", "user@h", "0x7f000001", "::1::"],
)
def test_malformed_entries(entry):
    """An entry that could never match is an error at the start."""
    with pytest.raises(SettingsError):
        Guard([entry])


@pytest.mark.parametrize("ip", ["127.1", "engine", "", "1.2.3.4.5"])
def test_resolver_returns_no_address(ip):
    """A resolver's result that is not an address is refused."""
    with pytest.raises(CallbackForbidden, match="odd spelling"):
        Guard().check_address("h", ip, 80)


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def test_rebinding(open_callbacks, start_worker):
    """A name is resolved once for each connection, and judged each time."""
    worker = await start_worker(OK)
    answers = [["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]]
    callbacks = await open_callbacks(lookup=lambda host: answers.pop(0))
    url = f"http://rebind.example:{worker.port}/"
    assert await callbacks.deliver(url, b"1") == Accepted()
    assert await callbacks.deliver(url, b"2") == Refused(
        "may not be called: the address is link-local"
    )
    assert await callbacks.is_pending(url) is True
    assert answers == []
    assert worker.connections == 2


async def test_mixed_addresses(open_callbacks, start_worker):
    """Only the allowed addresses of a name are tried, in the resolver's order."""
    worker = await start_worker(OK)
    callbacks = await open_callbacks(lookup=lambda host: ["0.0.0.0", "127.0.0.1", "fe80::1%1"])
    url = f"http://mixed.example:{worker.port}/"
    assert await callbacks.deliver(url, b"1") == Accepted()
    assert b"\r\nHost: mixed.example:" in worker.requests[0]


async def test_names_really_resolve(callbacks, start_worker):
    """The machine's own resolver finds localhost."""
    worker = await start_worker(OK)
    assert await callbacks.deliver(f"http://localhost:{worker.port}/", b"1") == Accepted()


async def test_an_allowed_name_is_called(open_callbacks, start_worker):
    """The list applies to each delivery: one name is called, another one for this host is not."""
    worker = await start_worker(OK)
    guard = Guard(["one.example"])
    callbacks = await open_callbacks(guard, lookup=lambda host: ["127.0.0.1"])
    url = f"http://one.example:{worker.port}/"
    assert await callbacks.deliver(url, b"1") == Accepted()
    refused = Refused("may not be called: not on the list of what may be called")
    assert await callbacks.deliver(url.replace("one", "two"), b"1") == refused
    assert worker.connections == 1


PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
TUNNELS = ["2002:808:808::", "2001:0:4136:e378:8000:63bf:f7f7:f7f7"]
"""Whether they are public differs between versions of Python."""
NOT_PUBLIC = [ip for ip in MAY if ip not in (*PUBLIC, *TUNNELS)]


@pytest.mark.parametrize("ip", [*NEVER, *NOT_PUBLIC])
def test_only_public_addresses(ip):
    """With public_only no private, local or documentation address may be called."""
    guard = Guard(public_only=True)
    with pytest.raises(CallbackForbidden):
        guard.check_url(url_of(ip))
    with pytest.raises(CallbackForbidden):
        guard.check_address("till.example.org", ip, 443)


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses(ip):
    """With public_only every public address may be called, also beside a list of others."""
    for guard in (Guard(public_only=True), Guard(["10.0.0.0/8"], public_only=True)):
        guard.check_url(url_of(ip))
        guard.check_address("till.example.org", ip, 443)
        guard.check_url("https://till.example.org/")


def test_exceptions_from_public_only():
    """The list allows what it has, on its port, but no address that is never called."""
    guard = Guard(["10.0.0.0/8:8080", "till.local", "0.0.0.0/0:81"], public_only=True)
    guard.check_url("http://10.1.2.3:8080/")
    guard.check_address("till.local", "192.168.1.5", 443)
    for host, ip, port in (
        ("10.1.2.3", "10.1.2.3", 80),
        ("till.other", "192.168.1.5", 443),
        ("till.local", "169.254.169.254", 443),
        ("169.254.169.254", "169.254.169.254", 81),
    ):
        with pytest.raises(CallbackForbidden):
            guard.check_address(host, ip, port)
