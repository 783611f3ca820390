"""The link between two processes: a local socket on which nothing goes but descriptors of other sockets.

Each is behind its number, 8 bytes, big-endian. Only the process that supervises sends; the end of the link is the end
of everything between the two.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Final, TypeAlias, final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Lock, fail_after

from skywire.errors import ProtocolError, SkywireError
from skywire.net.local_socket import LocalSocket

HAND_OVER_SECONDS: Final = 5.0
"""For the other process to take a descriptor."""

_NUMBER: Final = Struct(">Q")

Receiver: TypeAlias = Callable[[socket.socket], None]
"""Takes a socket over; must not block."""


class HandOverFailed(SkywireError):
    """A socket could not be handed to the other process."""


@final
class DescriptorSender:
    """The supervising end.

    Args:
        link: to the other process; not owned.
    """

    def __init__(self, link: LocalSocket) -> None:
        self._link = link
        self._sending = Lock()

    async def open(self, number: int) -> LocalSocket:
        """Make a pair of sockets, and hand one of them over under this number; the other one is given.

        Raises:
            HandOverFailed: the other process does not take it, or the system has no descriptor left.
        """
        try:
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise HandOverFailed(f"no socket can be made: {error.strerror}") from error
        try:
            with far:
                await self._send(number, far)
            return LocalSocket(near)
        except BaseException:
            near.close()
            raise

    async def _send(self, number: int, sock: socket.socket) -> None:
        try:
            with fail_after(HAND_OVER_SECONDS):
                async with self._sending:
                    await self._link.send_with_descriptor(_NUMBER.pack(number), sock.fileno())
        except TimeoutError:
            raise HandOverFailed("the app's process takes no connections") from None
        except (BrokenResourceError, ClosedResourceError) as error:
            raise HandOverFailed("the link to the app's process broke") from error

    async def wait_closed(self) -> None:
        """Wait for the end of the link, which is also any word on it from the other process: it has none to say."""
        with suppress(EndOfStream, BrokenResourceError, ClosedResourceError):
            await self._link.receive(1)


@final
class DescriptorReceiver:
    """The end of the app's process: hands each socket to who waits for its number; others are closed."""

    def __init__(self) -> None:
        self._receivers: dict[int, Receiver] = {}

    def expect(self, number: int, receiver: Receiver) -> None:
        """Hand sockets under this number to ``receiver`` from now on."""
        self._receivers[number] = receiver

    def forget(self, number: int) -> None:
        """Close what comes under this number from now on."""
        self._receivers.pop(number, None)

    async def read(self, link: LocalSocket) -> None:
        """Take what comes until the link ends.

        Raises:
            ProtocolError: something else than numbers and sockets came.
        """
        while True:
            try:
                message, sock = await link.receive_with_descriptor(_NUMBER.size)
            except (EndOfStream, BrokenResourceError, ClosedResourceError):
                return
            if sock is None:
                raise ProtocolError("the link carries bytes without a descriptor")
            receiver = self._receivers.get(_NUMBER.unpack(message)[0]) if len(message) == _NUMBER.size else None
            if receiver is None:
                sock.close()
            else:
                receiver(sock)
