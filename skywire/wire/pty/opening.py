"""How a connection to a pty host begins: the client says what it wants, the host says in one byte whether it gets it.

A request is a length (1 byte) and so many bytes of UTF-8: a path, with a slash before it or not, and a query.

Source: protocol-dmsg.md section 7.3, upstream-2026.md section 2.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self, final
from urllib.parse import parse_qsl, urlencode

from skywire.errors import LocalProtocolError, ProtocolError

ACCEPTED: Final = b"\x00"
REJECTED: Final = b"\x01"
"""Any other byte than that of acceptance means it. Our hosts say why, behind it and up to the end of the connection."""
UNREACHABLE: Final = b"\x02"
"""Said by local sockets of ours: the other host cannot be reached just now. Why follows, likewise."""
MAX_REASON: Final = 500
"""Bytes of a reason."""
MAX_REQUEST: Final = 255
"""Bytes of a request without its length."""

PTY: Final = "dmsgpty/pty"
"""Calls of :mod:`skywire.wire.pty.shell` and :mod:`skywire.wire.pty.session` follow."""
FILES: Final = "skywire/files"
"""The bytes of a file follow, as :mod:`skywire.wire.transfer` has them; see :mod:`skywire.wire.pty.files`."""
WHITELIST: Final = "dmsgpty/whitelist"
"""Calls of :mod:`skywire.wire.pty.whitelist` follow; on local sockets only."""
PROXY: Final = "dmsgpty/proxy"
"""The host connects to another one, asks that for a pty, and passes bytes on; on local sockets only. Upstream names the
other one by ``pk`` and ``port``; ours may be given an ``address`` instead, and as ``path`` a request to ask it for."""


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants.

    Args:
        path: without a slash before it.
        query: what it says more.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def encode(self) -> bytes:
        """Its bytes.

        Raises:
            LocalProtocolError: there are too many.
        """
        data = str(self).encode()
        if len(data) > MAX_REQUEST:
            raise LocalProtocolError(f"a request has at most {MAX_REQUEST} bytes, this would have {len(data)}")
        return bytes([len(data)]) + data

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read it without its length.

        Raises:
            ProtocolError: it is no text, or empty.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise ProtocolError("a request is no text") from None
        path, _, query = text.removeprefix("/").partition("?")
        if not path:
            raise ProtocolError("a request is empty")
        try:
            return cls(path, dict(parse_qsl(query, keep_blank_values=True, max_num_fields=8)))
        except ValueError:
            raise ProtocolError("a request says too much") from None
