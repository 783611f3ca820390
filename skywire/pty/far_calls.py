"""What a host can be asked to do with a program: by the calls of sessions, or where it has none by upstream's."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol, TypeVar, final

from skywire.netrpc import Caller, CallFailed
from skywire.pty.errors import PtyError, TakenOver
from skywire.pty.printable import printable
from skywire.wire.gob.method import Method
from skywire.wire.pty.session import (
    ATTACH,
    END_SESSION,
    RECEIVE,
    SEND,
    SIGNAL,
    START_SESSION,
    TAKEN_OVER,
    WAIT,
    Attached,
    Ended,
    NewSession,
    Piece,
    Receive,
    Send,
)
from skywire.wire.pty.shell import (
    ENDED,
    ENDED_AS_IN_LINUX,
    PING,
    READ,
    RESIZE,
    START,
    START_PLAINLY,
    STOP,
    WRITE,
    WindowSize,
)

READ_BYTES: Final = 32768
"""What upstream's client asks for, so that every host can give it."""

A = TypeVar("A")
R = TypeVar("R")


class FarCalls(Protocol):
    """One connection's use of a program. All of it raises :class:`PtyError` when the host says no, and
    :class:`ConnectionEnded` when it says nothing any more.
    """

    @property
    def lasting(self) -> bool:
        """Whether the program outlives the connection."""
        ...

    async def receive(self, wanted: Receive) -> Piece:
        """Output; an empty piece at its end."""
        ...

    async def send(self, piece: Send) -> None:
        """Input."""
        ...

    async def resize(self, size: WindowSize) -> None:
        """The terminal has another size."""
        ...

    async def signal(self, number: int) -> None:
        """Send a signal."""
        ...

    async def wait(self) -> Ended:
        """How it ended."""
        ...

    async def end(self) -> None:
        """End it."""
        ...

    async def ping(self) -> None:
        """Have the host show that it is there."""
        ...


async def enter(caller: Caller, wish: NewSession | str) -> tuple[FarCalls, Attached]:
    """Begin a program, find the one that was begun by the same wish, or use the one of a session's id.

    Raises:
        PtyError: the host says no, or has not what this takes.
        ConnectionEnded: it says nothing any more.
    """
    if isinstance(wish, str):
        attached = await asked(caller, ATTACH, wish)
        return _SessionCalls(caller, attached.id), attached
    try:
        attached = await caller.call(START_SESSION, wish)
    except CallFailed as failure:
        if not failure.unknown:
            raise PtyError(printable(failure.reason)) from failure
    else:
        return _SessionCalls(caller, attached.id), attached
    if not wish.terminal:
        raise PtyError("this host is an older one: it runs programs in a terminal only, and tells no exit status")
    await asked(caller, START if wish.command.environment else START_PLAINLY, wish.command)
    return _PlainCalls(caller), Attached(wish.id, 0)


async def asked(caller: Caller, method: Method[A, R], argument: A) -> R:
    """Call a method of a host.

    Raises:
        PtyError: it says no.
        ConnectionEnded: it says nothing any more.
    """
    try:
        return await caller.call(method, argument)
    except CallFailed as failure:
        if failure.reason == TAKEN_OVER:
            raise TakenOver(TAKEN_OVER) from failure
        if failure.unknown:
            raise PtyError(f"this host is an older one, which does not have {method.name}") from failure
        raise PtyError(printable(failure.reason)) from failure


@final
class _SessionCalls:
    lasting = True

    def __init__(self, caller: Caller, id: str) -> None:  # noqa: A002 - as on the wire
        self._caller = caller
        self._id = id

    async def receive(self, wanted: Receive) -> Piece:
        piece = await asked(self._caller, RECEIVE, wanted)
        if piece.offset != wanted.have:
            raise PtyError(f"the host sent output from byte {piece.offset}, not from byte {wanted.have}")
        return piece

    async def send(self, piece: Send) -> None:
        await asked(self._caller, SEND, piece)

    async def resize(self, size: WindowSize) -> None:
        await asked(self._caller, RESIZE, size)

    async def signal(self, number: int) -> None:
        await asked(self._caller, SIGNAL, number)

    async def wait(self) -> Ended:
        return await asked(self._caller, WAIT, None)

    async def end(self) -> None:
        await asked(self._caller, END_SESSION, self._id)

    async def ping(self) -> None:
        await asked(self._caller, PING, None)


@final
class _PlainCalls:
    lasting = False

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def receive(self, wanted: Receive) -> Piece:
        try:
            return Piece(wanted.have, await self._caller.call(READ, READ_BYTES))
        except CallFailed as failure:
            if failure.reason in {ENDED, ENDED_AS_IN_LINUX}:
                return Piece(wanted.have, b"")
            raise PtyError(printable(failure.reason)) from failure

    async def send(self, piece: Send) -> None:
        data = piece.data + (b"\x04" if piece.end else b"")
        while data:
            taken = await asked(self._caller, WRITE, data[:READ_BYTES])
            if not 0 < taken <= len(data):
                raise PtyError(f"the host says that it took {taken} bytes of {len(data)}")
            data = data[taken:]

    async def resize(self, size: WindowSize) -> None:
        await asked(self._caller, RESIZE, size)

    async def signal(self, number: int) -> None:
        raise PtyError("this host is an older one: signals go through the terminal only")

    async def wait(self) -> Ended:
        return Ended(0)  # it does not tell

    async def end(self) -> None:
        await asked(self._caller, STOP, None)

    async def ping(self) -> None:
        with suppress(CallFailed):  # hosts of 2024 lack it; an answer is an answer
            await self._caller.call(PING, None)
