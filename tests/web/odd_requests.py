"""Random requests to the routes of the fast path and to others: ordinary, odd, malformed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sanic.config import DEFAULT_CONFIG

from tests.support.both_ways import JOB_ID, RECEIPT

TOKEN = "a-token-of-the-tests"
MAX_BODY_BYTES, MAX_DEPTH = 1024, 5
LONGEST_HEAD: int = DEFAULT_CONFIG["REQUEST_MAX_HEADER_SIZE"]

ORDER = b'{"drink": "mojito"}'
LARGEST, TOO_LARGE = (b'"%b"' % (b"x" * (MAX_BODY_BYTES - 2 + more)) for more in (0, 1))

PATHS = (
    [b"/submit-job"] * 8
    + [b"/register-worker"] * 8
    + [b"/jobs/%b/%b" % (JOB_ID, act) for act in (b"complete", b"fail", b"extend")]
    + [b"/jobs/0f1e/complete", b"/jobs/%b/progress" % JOB_ID, b"/jobs/%b/exten" % JOB_ID]
    + [b"/topics/roof/submit-job", b"/topics/roof/register-worker"] * 2
    + [b"/topics/roof/jobs/%b/complete" % JOB_ID, b"/topics/rof/submit-job", b"/topics/roof/topics"]
    + [b"/submit%2Djob", b"/topics//submit-job", b"/nothing", b"/"]
)
CHANGING = [
    *[b"/submit-job", b"/register-worker"] * 3,
    *(b"/jobs/%b/%b" % (JOB_ID, act) for act in (b"complete", b"fail", b"extend")),
]
OTHERS = [
    (b"GET", b"/jobs/" + JOB_ID),
    (b"DELETE", b"/jobs/" + JOB_ID),
    (b"DELETE", b"/register-worker"),
    (b"GET", b"/submit-job"),
    (b"HEAD", b"/submit-job"),
    (b"HEAD", b"/topics"),
    (b"GET", b"/topics/roof/jobs/0f1e"),
    (b"PUT", b"/register-worker"),
    (b"OPTIONS", b"/submit-job"),
    (b"GET", b"/nothing"),
]
QUERIES = (
    [b""] * 24
    + [b"?token=" + TOKEN.encode(), b"?token=" + TOKEN.encode().replace(b"-", b"%2D")] * 3
    + [
        b"?lost",
        b"?token=wrong",
        b"?match.drink=mojito%7Cbeer",
        b"?not.drink=beer&lost",
        b"?match.=x",
    ]
    + [b"?", b"?lost=1&token=x&token=y", b"?lost&a=b%20c+d", b"?%6Cost", b"#lost", b"?a#b", b"??"]
    + [b"/", b"//", b"?\xc3\xa9", b"?\x7f", b"%20", b"?a=%FF", b"?ttl=5", b"?ttl=x"]
)
KINDS = (
    [b"Content-Type: application/json"] * 8
    + [b"CONTENT-type:application/vnd.x+json ; charset=utf-8", b"Content-Type: text/plain"]
    + [b"Content-Type: application/x-www-form-urlencoded", b"X-Nothing:"]
)
HEADERS = [
    *[b"Authorization: Bearer " + TOKEN.encode()] * 8,
    b"aUTHORIZATION: bEARER  " + TOKEN.encode() + b" ",
    b"Authorization: Bearer wrong",
    b"Authorization: Bearer \xff",
    b"Authorization: Basic " + TOKEN.encode(),
    *[b"Idempotency-Key: a1"] * 4,
    b'Idempotency-Key: "a2"',
    b"Idempotency-Key: a,b",
    b"idempotency-key:\ta3 ",
    b"Job-Priority: 0",
    b"Job-Priority: 9",
    b"X-Request-ID: called-so",
    b"X-Request-ID: \xc3\xa9",
    b"x-request-id: two",
    b"CPEE-INSTANCE-UUID: i1",
    b"CPEE-ACTIVITY: a1",
    b"CPEE-LABEL: caf\xc3\xa9",
    b"CPEE-LABEL: caf\xe9 \xe2\x82",
    b"CPEE-ATTR-INFO: \xc2\xa0Robot\xc2\x85",
    b"CPEE-INSTANCE-URL: http://127.0.0.1:1/4/",
    b"CPEE-CALLBACK: http://127.0.0.1/",
    b"cpee-callback: ftp://x/",
    b"CPEE-CALLBACK: http://b\xc3\xbc.example/",
    b"X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    b"Connection: keep-alive",
    b"connection: Keep-Alive",
    b"Host: y",
    b"Cookie: a=b; c",
    b"Origin: http://elsewhere.example",
    b"Accept: text/html",
    b"Empty:",
    b"Job-Receipt: " + RECEIPT,
    b"Job-Receipt: 0f1e2d",
]
ODD_HEADERS = [
    *[b"Connection: close"] * 4,
    b"Connection: keep-alive, x",
    b"Connection: keep-alive ",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    *[b"Expect: 100-continue"] * 8,
    b"Expect: a miracle",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"transfer-encoding : chunked",
    b"Content-Length: 1",
    b"Content-Length: +1",
    b"Content-Length: 1, 1",
    b"Content-Length: -1",
    b"Content-Length: 1_0",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 2000",
    b"Content-Length:",
    b"Name : value",
    b" folded: line",
    b"\tfolded",
    b"no colon",
    b": no name",
    b"",
    b"A: b\nC: d",
    b"A: b\rc",
    b"A: \0",
    b"A: \x0b\x1b\x7f",
    b"A\x80: b",
    b"A(: b",
    b"Worker-Id: w1",
]
ODDITIES = (
    *("header", "header", "header", "version", "version", "long", "long"),
    *("method", "end", "before", "target", "length", "chunks"),
)
BODIES = (
    [ORDER] * 8
    + [b"1", b" [1, 2]\r\n", b"", b"{", b"NaN", b'"\xff"', b'"\\ud800"', b"1\r\n\r\n"]
    + [b"[" * 9 + b"]" * 9, b"match.drink=mojito%7Cbeer&kind=drinks", b"not.a..b=1"]
    + [b"result=1", b'{"reason": "no ice", "retry": true}', LARGEST, *[TOO_LARGE] * 4]
)
UPGRADE = (
    b"GET /%b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: %d\r\n\r\n"
)


def ordinary(dice: Random, callback: bytes) -> bytes:
    """Return a request that changes something, unless the state forbids it."""
    path = dice.choice(CHANGING)
    key = [b"CPEE-INSTANCE-UUID: i%d" % dice.randrange(3), b"CPEE-ACTIVITY: a1"]
    worker = [_callback(dice, callback), b"Job-Receipt: " + RECEIPT, *dice.choice(([], key))]
    body = b"" if path.endswith(b"fail") else ORDER
    topic = dice.choice((b"", b"", b"/topics/roof"))
    return _assembled(b"POST", topic + path, [KINDS[0], HEADERS[0], *worker], body)


def request(dice: Random, callback: bytes) -> bytes:
    """Return a request, most of them fit for the fast path; workers have a few such callbacks."""
    how = dice.random()
    if how < 0.15:
        return ordinary(dice, callback)
    headers = [b"Host: x", dice.choice(KINDS), *dice.sample(HEADERS, dice.choice((0, 0, 1, 2, 4)))]
    headers.append(_callback(dice, callback))
    dice.shuffle(headers)
    body = dice.choice(BODIES)
    plain = _assembled(b"POST", dice.choice(PATHS) + dice.choice(QUERIES), headers, body)
    if how < 0.60:
        return plain
    if how < 0.82:
        return _oddly_framed(dice, headers, body)
    if how < 0.90:
        method, path = dice.choice(OTHERS)
        return _assembled(method, path + dice.choice(QUERIES), headers, body)
    if how < 0.92:
        return UPGRADE % (
            dice.choice((b"live?view=board", b"live", b"nothing")),
            dice.choice((13, 8)),
        )
    return _damaged(dice, plain)


def _callback(dice: Random, callback: bytes) -> bytes:
    return b"CPEE-Callback: %b%d" % (callback, dice.randrange(4))


def _assembled(method: bytes, target: bytes, headers: list[bytes], body: bytes) -> bytes:
    first = b"%b %b HTTP/1.1" % (method, target)
    return b"\r\n".join([first, *headers, b"Content-Length: %d" % len(body), b"", body])


def _oddly_framed(dice: Random, headers: list[bytes], body: bytes) -> bytes:
    """Return a request whose first line, headers or framing are odd in one way."""
    path = dice.choice(PATHS[:20])
    headers = [*headers]
    odd = dice.choice(ODDITIES)
    first, end, before = b"POST %b HTTP/1.1" % path, b"\r\n", b""
    lengths = [b"Content-Length: %d" % len(body)]
    if odd == "header":
        headers.insert(dice.randint(0, len(headers)), dice.choice(ODD_HEADERS))
    elif odd == "version":
        versions = (b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2", b"http/1.1", b"")
        first = b"POST %b %b" % (path, dice.choice(versions))
    elif odd == "method":
        first = b"%b %b HTTP/1.1" % (dice.choice((b"PUT", b"post", b"POST ", b"HEAD", b"P")), path)
    elif odd == "end":
        end = b"\n"
    elif odd == "before":
        before = dice.choice((b"\r\n", b"\n", b" ", b"\0"))
    elif odd == "target":
        first = b"POST %b%b HTTP/1.1" % (dice.choice((b"http://x", b"/", b"")), path[1:])
    elif odd == "length":
        wrong = (b"0%d", b"%d ", b"+%d", b"%d, %d", b"%d\r\nContent-Length: %d")
        form = dice.choice((b"", *wrong))
        size = len(body) + dice.choice((0, 0, -1, 1))
        lengths = [b"Content-Length: " + form.replace(b"%d", b"%d" % size)] if form else []
    elif odd == "long":
        room = LONGEST_HEAD - len(b"\r\n".join([first, *headers, *lengths, b"Long: "]))
        headers.append(b"Long: " + b"x" * (room + dice.randint(-6, 6)))
    else:
        lengths, body = [b"Transfer-Encoding: chunked"], b"".join(_chunks(dice, body))
    return before + end.join([first, *headers, *lengths, b"", body])


def _chunks(dice: Random, body: bytes) -> Iterator[bytes]:
    for piece in pieces(dice, body):
        if piece:
            yield b"%x%b\r\n%b\r\n" % (len(piece), dice.choice((b"", b"", b";a=b")), piece)
    yield dice.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"-1\r\n\r\n"))


def _damaged(dice: Random, data: bytes) -> bytes:
    """Change, remove or repeat a byte of the head."""
    at = dice.randrange(data.index(b"\r\n\r\n") + 4)
    other = dice.choice((b"", data[at : at + 1] * 2, bytes([dice.randrange(256)])))
    return data[:at] + other + data[at + 1 :]


def pieces(dice: Random, data: bytes) -> list[bytes]:
    """Cut data at one to three random places."""
    places = sorted(dice.randint(0, len(data)) for _ in range(dice.randint(1, 3)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
