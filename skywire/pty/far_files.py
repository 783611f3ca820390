"""Files to and from another node, as its client has them: they go on over one connection after the other."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias, TypeVar, final

from anyio import fail_after, sleep, to_thread
from anyio.abc import ByteStream

from skywire.errors import NetworkError
from skywire.keys import PubKey
from skywire.net.backoff import Backoff
from skywire.netrpc import CallFailed, ConnectionEnded, calling
from skywire.pty.carried import Carried
from skywire.pty.errors import PtyError
from skywire.pty.far_program import Notice
from skywire.pty.landing import Landing, refuse_folder
from skywire.pty.printable import printable
from skywire.transfer import (
    FailureCode,
    FileChanged,
    Interrupted,
    Offer,
    Sender,
    SenderFailed,
    Sending,
    TransferLimits,
    receiving,
)
from skywire.transfer import Wanted as Transfer
from skywire.wire.gob.method import Method
from skywire.wire.pty.files import ID_LENGTH, OFFER, WANT, Offered, Want, give, take
from skywire.wire.pty.opening import PTY, Request

CALL_SECONDS: Final = 30.0
"""For a host to answer a call."""
HASHED_PER_SECOND: Final = 100e6
"""Bytes of a part that a host reads again in a second at least, before it asks for the rest."""
_AGAIN: Final = frozenset({FailureCode.BUSY, FailureCode.UNKNOWN})
"""What a host may say that has too much to do, or was started anew."""

Reach: TypeAlias = Callable[[Request], AbstractAsyncContextManager[ByteStream]]
"""Gives a new connection to a host that has agreed to what it was asked for, while a block runs."""
Progress: TypeAlias = Callable[[int, int], None]
"""Told the bytes that are there, and the bytes of the whole."""

USUAL: Final = TransferLimits()

A = TypeVar("A")
R = TypeVar("R")


@final
@dataclass(frozen=True, slots=True)
class FarFiles:
    """Copies files to and from one host.

    Args:
        reach: connects to it.
        peer: its key.
        progress: told how far a file is: at the begin, a few times a second, and at the end.
        notice: told of trouble with connections.
        limits: of what is received.
    """

    reach: Reach
    peer: PubKey
    progress: Progress = lambda done, size: None
    notice: Notice = lambda trouble: None
    limits: TransferLimits = USUAL

    async def take(self, path: str, target: Path, *, replace: bool) -> Path:
        """Copy a file of the host to here; gives where it is.

        Args:
            path: of the file, there.
            target: where to; a folder means the file's own name in it.
            replace: whether a file that is there may be replaced.

        Raises:
            SkywireError: it cannot be done. What has come stays, and the next attempt goes on from there.
            NetworkError: there is no connection. Later, when one breaks, others are tried without end.
        """
        _check_text(path)
        name = PurePosixPath(path).name
        attempts = _Attempts(self.progress, self.notice)
        changed = False
        while True:
            try:
                offered = await self._ask(OFFER, path)
                landing = await to_thread.run_sync(partial(Landing, target, name, offered.mode, replace=replace))
                await self._take(offered, landing, attempts)
            except FileChanged:
                # What was begun with earlier may be of an older one. A file that changes all the time is not copied.
                if changed:
                    raise
                changed = True
            except SenderFailed as error:
                if error.code not in _AGAIN:
                    raise
                await attempts.lost(error)
            except NetworkError as error:
                await attempts.lost(error)
            else:
                return landing.path

    async def give(self, source: Path, path: str, *, replace: bool) -> str:
        """Copy a file from here to the host; gives where it is there.

        Args:
            source: the file.
            path: where to; a folder means the file's own name in it.
            replace: whether a file that is there may be replaced.

        Raises:
            SkywireError: it cannot be done. What the host has stays there, and the next attempt goes on from there.
            NetworkError: there is no connection. Later, when one breaks, others are tried without end.
        """
        offer = Offer(source)
        want = await _described(offer, path, replace)
        attempts = _Attempts(self.progress, self.notice)
        while True:
            try:
                wanted = await self._ask(WANT, want)
                if wanted.whole:
                    return wanted.path
                if want.again:
                    await attempts.lost(Interrupted("the connection ended before all of the file was there"))
                want = _again(want)
                patience = self.limits.stall_seconds + wanted.have / HASHED_PER_SECOND
                if await self._give(offer, want.id, TransferLimits(patience), attempts):
                    return wanted.path
            except NetworkError as error:
                await attempts.lost(error)

    async def _take(self, offered: Offered, landing: Landing, attempts: _Attempts) -> None:
        file = Transfer(self.peer, offered.id, landing.path.name, offered.size, offered.sha256)
        await to_thread.run_sync(landing.open)
        try:
            async with (
                receiving(file, landing.parts, limits=self.limits, give_name=landing.give_name) as reception,
                self.reach(take(offered.id)) as stream,
            ):
                attempts.connected()
                await reception.fetch(Carried(stream, self.peer), progress=attempts.progress)
        finally:
            landing.close()

    async def _give(self, offer: Offer, wanted_id: str, limits: TransferLimits, attempts: _Attempts) -> bool:
        """Whether the host says that it has all of it, in its place."""
        received = False

        def note(sending: Sending) -> None:
            nonlocal received
            received = sending.received
            attempts.progress(sending.done, sending.size)

        sender = Sender(lambda _, asked: offer if asked == wanted_id else None, limits=limits, progress=note)
        async with self.reach(give(wanted_id)) as stream:
            attempts.connected()
            await sender.serve(Carried(stream, self.peer))
        return received

    async def _ask(self, method: Method[A, R], argument: A) -> R:
        async with self.reach(Request(PTY)) as stream, calling(stream) as caller:
            try:
                with fail_after(CALL_SECONDS):
                    return await caller.call(method, argument)
            except TimeoutError:
                raise ConnectionEnded(f"the host has not answered for {CALL_SECONDS:g} s") from None
            except CallFailed as failure:
                if failure.unknown:
                    raise PtyError("this host is another or an older one: it does not copy files") from failure
                raise PtyError(f"on the host: {printable(failure.reason)}") from failure


@final
class _Attempts:
    """What comes of connections, one after the other."""

    def __init__(self, progress: Progress, notice: Notice) -> None:
        self._progress = progress
        self._notice = notice
        self._backoff = Backoff(0.2, 2.0, 15.0)
        self._was_connected = False
        self._in_trouble = False
        self._done = 0

    def connected(self) -> None:
        """The host has agreed."""
        self._was_connected = True
        if self._in_trouble:
            self._in_trouble = False
            self._notice(None)

    def progress(self, done: int, size: int) -> None:
        """Something goes on."""
        if done > self._done:
            self._backoff.succeeded()
        self._done = done
        self._progress(done, size)

    async def lost(self, error: Exception) -> None:
        """Wait for the next attempt; raises the error where there has not been a connection yet."""
        if not self._was_connected:
            raise error
        if not self._in_trouble:
            self._in_trouble = True
            self._notice(str(error))
        await sleep(self._backoff.failed())


async def _described(offer: Offer, path: str, replaces: bool) -> Want:
    """What a host is told of a file."""
    _check_text(path)
    _check_text(offer.path.name)
    await to_thread.run_sync(refuse_folder, offer.path)
    head = await offer.prepare()
    mode = stat.S_IMODE((await to_thread.run_sync(offer.path.stat)).st_mode) & 0o777
    name = offer.path.name
    same = hashlib.sha256(f"{head.sha256}\0{name}\0{path}".encode()).hexdigest()[:ID_LENGTH]
    return Want(path, same, name, head.size, mode, head.sha256, replaces)


def _again(want: Want) -> Want:
    return replace(want, again=True)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PtyError(f"{printable(text)}: names that are no UTF-8 cannot be copied; rename it first") from None
