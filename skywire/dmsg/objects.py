"""Signed objects on the streams of a session: framed, and sealed with the keys of that session.

Source: protocol-dmsg.md section 3.3.
"""

from __future__ import annotations

from typing import Final, final

from skywire.dmsg.limits import MAX_OBJECT
from skywire.wire.noise import TransportKeys
from skywire.wire.objects import SignedObject
from skywire.wire.records import Sealer, WindowOpener, frame, split_frame


@final
class ObjectSeal:
    """Seals and opens the objects of one session, whichever stream they are on.

    Args:
        keys: of the session's handshake.
    """

    def __init__(self, keys: TransportKeys) -> None:
        self._sealer: Final = Sealer(keys.send)
        self._opener: Final = WindowOpener(keys.receive)

    def seal(self, signed: SignedObject) -> bytes:
        """The frame to send."""
        return frame(self._sealer.seal(signed.raw))

    def open(self, received: bytes) -> tuple[SignedObject, bytes] | None:
        """Read an object.

        Args:
            received: all that came on the stream so far.

        Returns:
            The object and what came behind it, or None while it is incomplete.

        Raises:
            ProtocolError: longer than MAX_OBJECT, altered, repeated, or no signed object.
        """
        cut = split_frame(received, MAX_OBJECT)
        if cut is None:
            return None
        body, rest = cut
        return SignedObject.parse(self._opener.open(body)), rest
