"""Stream ids: ours are handed out, the peer's are checked so that none comes twice.

Source: protocol-dmsg.md section 3.2.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from skywire.errors import LocalProtocolError, ProtocolError

ID_STEP: Final = 2
"""Distance of two ids of one side."""
MAX_LOCAL_ID: Final = 0xFFFFFFFD
"""Last id that upstream opens; two thousand million streams later a session must be replaced."""
REORDER_WINDOW: Final = 1024
"""How many of the peer's ids, from its highest down, are remembered; its SYNs may overtake each other.

Upstream draws an id and sends its SYN in separate steps, with at most 512 opens under way.
"""

_REORDER_MASK: Final = (1 << REORDER_WINDOW) - 1


@final
class Role(Enum):
    """Which side of the connection this is; the value is its first stream id."""

    CLIENT = 1
    SERVER = 2


@final
class LocalIds:
    """The ids of the streams that we open, in order."""

    __slots__ = ("_next",)

    def __init__(self, role: Role) -> None:
        self._next = role.value

    @property
    def exhausted(self) -> bool:
        """Whether there are no more."""
        return self._next > MAX_LOCAL_ID

    def take(self) -> int:
        """The next id.

        Raises:
            LocalProtocolError: there are no more.
        """
        if self.exhausted:
            raise LocalProtocolError("this session has opened as many streams as it ever can")
        taken = self._next
        self._next = taken + ID_STEP
        return taken


@final
class RemoteIds:
    """The ids of the streams that the peer opened, so that an id means one stream for the life of the session.

    Args:
        role: our own.
    """

    __slots__ = ("_highest", "_parity", "_seen")

    def __init__(self, role: Role) -> None:
        self._parity = 1 - role.value % ID_STEP
        self._highest = self._parity - ID_STEP
        self._seen = 0  # bit i: id `highest - 2 i` came

    def first_time(self, stream_id: int) -> bool:
        """Whether the id is new; an id too far below the highest counts as old.

        Raises:
            ProtocolError: ids of this kind are not the peer's to open. No upstream client or server sends such.
        """
        if stream_id == 0 or stream_id % ID_STEP != self._parity:
            raise ProtocolError(f"the peer opened stream {stream_id}, which is not one of its ids")
        behind = (self._highest - stream_id) // ID_STEP
        if behind < 0:
            # A far jump would shift by the peer's number of bits; all that survives it is the newest bit.
            self._seen = (self._seen << -behind | 1) & _REORDER_MASK if -behind < REORDER_WINDOW else 1
            self._highest = stream_id
            return True
        if behind >= REORDER_WINDOW or self._seen >> behind & 1:
            return False
        self._seen |= 1 << behind
        return True
