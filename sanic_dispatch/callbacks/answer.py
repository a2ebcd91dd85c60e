"""Reads answers out of a stream of bytes: pure, it knows no socket and no clock."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_LIMIT = 65536
"""How many bytes an answer's head may have: none is kept, but a head has to end."""


class AnswerReader:
    """Reads one answer after the other; call ``begin`` before each.

    As lenient as aiohttp is with servers: both parse with llhttp.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self.begin(0)

    def begin(self, limit: int) -> None:
        """Expect the next answer, and keep at most ``limit`` bytes of its body."""
        self.status = 0
        """0 until the whole head is there; interim answers (1xx) are skipped."""
        self.body = bytearray()
        self.may_stay = False
        """Whether the answer has ended, nothing came after it, and the server keeps alive."""
        self._limit = limit
        self._has_ended = False
        self._is_delimited = False
        self._head_room = HEAD_LIMIT

    def feed(self, data: bytes) -> None:
        """Read on; raises HttpParserError where this is not HTTP, or too long a head."""
        while data:
            if not self.status and not self._head_room:
                raise HttpParserError("the head does not end")
            piece = data if self.status else data[: self._head_room]
            self._head_room -= len(piece)
            try:
                self._parser.feed_data(piece)
            except (HttpParserError, HttpParserUpgrade):
                if self.status == 101:  # the parser stops, as if we had asked for an upgrade
                    return
                raise
            data = data[len(piece) :]

    @property
    def is_done(self) -> bool:
        """Whether the head is there, and as much of the body as is wanted or as there is."""
        return self.status > 0 and (self._has_ended or len(self.body) >= self._limit)

    @property
    def ends_by_close(self) -> bool:
        """Whether the end of the connection is the end of the answer."""
        return self.status > 0 and not self._is_delimited

    def close(self) -> None:
        """Let go of the parser, which refers to this object: the collector seldom runs."""
        del self._parser

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        if self._has_ended:  # a second answer, to nothing
            self.may_stay = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:  # a trailer
            return
        if b"\0" in value:
            raise HttpParserError("a header with a null byte")
        match name.lower():
            case b"content-length":
                self._is_delimited = True
            case b"transfer-encoding":
                self._is_delimited = b"chunked" in value.lower()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.status:
            return
        if 100 <= status < 200 and status != 101:
            self._head_room = HEAD_LIMIT
            self._is_delimited = False
        else:
            self.status = status

    def on_body(self, data: bytes) -> None:
        if not self._has_ended:
            self.body += data[: self._limit - len(self.body)]

    def on_message_complete(self) -> None:
        if self.status and not self._has_ended:
            self._has_ended = True
            self.may_stay = self.status != 101 and self._parser.should_keep_alive()
