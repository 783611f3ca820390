"""Methods of net/rpc with the Python types of what they take and give.

Source: protocol-dmsg.md section 7.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, final

from skywire.wire.gob.decode import Message
from skywire.wire.gob.scalars import GobError
from skywire.wire.gob.types import BYTES, EMPTY, INT, GobType, GobValue

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


@final
@dataclass(frozen=True)
class Shape(Generic[T]):
    """How values of a Python type go over the wire.

    Args:
        schema: of the Go type.
        write: the gob value of a Python one.
        read: the Python value of a gob one of that schema; raises GobError for one that is out of range.
    """

    schema: GobType
    write: Callable[[T], GobValue]
    read: Callable[[GobValue], T]

    def decode(self, body: Message) -> T:
        """The value of a body that has arrived.

        Raises:
            GobError: it does not fit, or is out of range.
        """
        return self.read(body.decode(self.schema))


@final
@dataclass(frozen=True)
class Method(Generic[A, R]):
    """One method of a service.

    Args:
        name: of the service and the method, such as ``pty.Read``.
        argument: what it takes.
        reply: what it gives.
    """

    name: str
    argument: Shape[A]
    reply: Shape[R]


def _read_nothing(_: GobValue) -> None:
    return None


def _read_number(value: GobValue) -> int:
    assert isinstance(value, int)
    return value


def _read_bytes(value: GobValue) -> bytes:
    assert isinstance(value, bytes)
    return value


NOTHING: Final[Shape[None]] = Shape(EMPTY, lambda _: (), _read_nothing)
"""``struct{}``."""
NUMBER: Final[Shape[int]] = Shape(INT, lambda value: value, _read_number)
"""``int``."""
BLOB: Final[Shape[bytes]] = Shape(BYTES, lambda value: value, _read_bytes)
"""``[]byte``."""


def within(value: GobValue, least: int, most: int, what: str) -> int:
    """A whole number that has to be in a range.

    Raises:
        GobError: it is not.
    """
    assert isinstance(value, int)
    if not least <= value <= most:
        raise GobError(f"{what} is {least} to {most}, not {value}")
    return value
