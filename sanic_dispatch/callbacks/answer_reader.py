"""Parse HTTP answers from a stream of bytes, without I/O."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_LIMIT_BYTES = 65536
"""The longest head of an answer. Heads are not kept; this ends an endless one."""


class AnswerReader:
    """Parses one answer after the other; call ``begin`` before each.

    It accepts the malformed heads that aiohttp accepts, so that both clients treat an engine alike;
    llhttp is strict by default.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self.begin(0)

    def begin(self, limit_bytes: int) -> None:
        """Expect the next answer, and keep at most ``limit_bytes`` of its body."""
        self.status = 0
        """0 until the head is complete; interim answers (1xx) are skipped."""
        self.body = bytearray()
        self.allows_reuse = False
        """Whether the connection can be reused: the answer is complete, and nothing followed it."""
        self._limit_bytes = limit_bytes
        self._has_ended = False
        """Whether the answer is complete."""
        self._is_delimited = False
        self._head_room_bytes = HEAD_LIMIT_BYTES
        """How much of the head may still come."""

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises HttpParserError if they are not HTTP, or for too long a head."""
        while data:
            if not self.status and not self._head_room_bytes:
                raise HttpParserError("the head does not end")
            piece = data if self.status else data[: self._head_room_bytes]
            self._head_room_bytes -= len(piece)
            try:
                self._parser.feed_data(piece)
            except (HttpParserError, HttpParserUpgrade):
                if self.status == 101:  # the parser stops, as if we had asked for an upgrade
                    return
                raise
            data = data[len(piece) :]

    @property
    def is_done(self) -> bool:
        """Whether the head is complete, and the body up to its end or the limit."""
        return self.status > 0 and (self._has_ended or len(self.body) >= self._limit_bytes)

    @property
    def ends_by_close(self) -> bool:
        """Whether the body ends only when the connection is closed."""
        return self.status > 0 and not self._is_delimited

    def close(self) -> None:
        """Drop the parser: it refers to this object, and garbage collection is infrequent."""
        del self._parser

    # ---- callbacks of the parser

    def on_message_begin(self) -> None:
        if self._has_ended:  # a second answer, without a request
            self.allows_reuse = False

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
            self._head_room_bytes = HEAD_LIMIT_BYTES
            self._is_delimited = False
        else:
            self.status = status

    def on_body(self, data: bytes) -> None:
        if not self._has_ended:
            self.body += data[: self._limit_bytes - len(self.body)]

    def on_message_complete(self) -> None:
        if self.status and not self._has_ended:
            self._has_ended = True
            self.allows_reuse = self.status != 101 and self._parser.should_keep_alive()
