"""What a person at a terminal says to us, and not to the program there: ``~`` at the begin of a line, and a letter."""

from __future__ import annotations

from enum import Enum, unique
from typing import Final, final

HELP: Final = """\
~.  end the session, and leave
~d  leave; the session goes on, and can be attached to again
~~  a ~
~?  this
"""

_TILDE: Final = ord("~")
_LINE_ENDS: Final = b"\r\n"


@final
@unique
class Escape(Enum):
    """What is wanted."""

    END = ord(".")
    LEAVE = ord("d")
    HELP = ord("?")


_WANTED: Final = frozenset(each.value for each in Escape)


@final
class Escapes:
    """Finds them in what is typed."""

    def __init__(self) -> None:
        self._at_begin = True
        self._begun = False

    def take(self, typed: bytes) -> tuple[bytes, Escape | None]:
        """What of it is for the program, and what is wanted of us; what is typed behind that is not looked at."""
        passed = bytearray()
        for byte in typed:
            if self._begun:
                self._begun = False
                if byte in _WANTED:
                    self._at_begin = True
                    return bytes(passed), Escape(byte)
                if byte != _TILDE:
                    passed.append(_TILDE)
            elif self._at_begin and byte == _TILDE:
                self._begun = True
                continue
            passed.append(byte)
            self._at_begin = byte in _LINE_ENDS
        return bytes(passed), None
