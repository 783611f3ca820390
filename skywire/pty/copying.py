"""The files of a host: those that its clients take, and those that they give."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from functools import partial
from logging import Logger
from pathlib import Path
from typing import Final, TypeVar, final

from anyio import CancelScope, Event, move_on_after, to_thread
from anyio.abc import ByteStream

from skywire.errors import NetworkError, SkywireError
from skywire.keys import PubKey
from skywire.netrpc import Service
from skywire.pty.carried import Carried
from skywire.pty.errors import PtyError
from skywire.pty.landing import Landing, path_of, refuse_folder
from skywire.pty.opening import refuse
from skywire.pty.printable import printable
from skywire.transfer import Offer, Sender, TransferLimits, receiving, safe_name
from skywire.transfer import Wanted as Transfer
from skywire.wire.pty.files import GIVE, ID_LENGTH, OFFER, TAKE, WANT, Offered, Want, Wanted
from skywire.wire.pty.opening import ACCEPTED, REJECTED, UNREACHABLE, Request

MOST_KNOWN: Final = 64
"""Files of one key that are remembered in each direction; of more the oldest are forgotten."""
PARTING_SECONDS: Final = 2.0
"""For a copy to end whose client says that it has lost the connection."""
_PERMISSIONS: Final = 0o777

T = TypeVar("T")


@final
class Copying:
    """Copies files for clients; who may has been decided before.

    Args:
        log: told who takes and gives which file.
        home: where relative paths begin; None for the home of this user.
        limits: of each copy, and of one key; None for the usual ones.
    """

    def __init__(self, log: Logger, home: Path | None = None, limits: TransferLimits | None = None) -> None:
        self._log = log
        self._home = home or Path(pwd.getpwuid(os.getuid()).pw_dir)
        self._limits = limits or TransferLimits()
        self._offers: dict[PubKey, dict[str, _Offering]] = {}
        self._gifts: dict[PubKey, dict[str, _Gift]] = {}
        self._sender = Sender(self._find, limits=self._limits)

    def add_to(self, service: Service, peer: PubKey) -> None:
        """Have a connection's client say which files it means."""
        service.add(OFFER, partial(self._offer, peer))
        service.add(WANT, partial(self._want, peer))

    async def serve(self, stream: ByteStream, peer: PubKey, request: Request) -> None:
        """Serve a connection that is for the bytes of a file, to its end."""
        taken, given = request.query.get(TAKE, ""), request.query.get(GIVE, "")
        if self._find(peer, taken) is not None:
            await stream.send(ACCEPTED)
            await self._sender.serve(Carried(stream, peer))
        elif (gift := self._gifts.get(peer, {}).get(given)) is not None:
            await self._receive(stream, peer, gift)
        else:
            await refuse(stream, REJECTED, "no such file has been spoken of")

    async def _offer(self, peer: PubKey, path: str) -> Offered:
        offering = await to_thread.run_sync(_look, self._home, path)
        id_ = hashlib.sha256(os.fsencode(offering.offer.path)).hexdigest()[:ID_LENGTH]
        known = self._offers.setdefault(peer, {})
        if id_ in known and known[id_].facts == offering.facts:
            offering = known[id_]  # whose checksum may be known already
        _remember(known, id_, offering)
        self._log.info("%s takes %s", peer, printable(str(offering.offer.path)))
        _, _, size, _, mode = offering.facts
        return Offered(id_, offering.name, size, mode, offering.offer.sha256)

    def _find(self, peer: PubKey, id_: str) -> Offer | None:
        found = self._offers.get(peer, {}).get(id_)
        return None if found is None else found.offer

    async def _want(self, peer: PubKey, want: Want) -> Wanted:
        known = self._gifts.setdefault(peer, {})
        gift = known.get(want.id)
        if gift is not None and want.again:
            await gift.stop(PARTING_SECONDS)
            if gift.failure:
                raise PtyError(gift.failure)
            if gift.whole:
                return Wanted(printable(str(gift.landing.path)), want.size, whole=True)
        landing = await to_thread.run_sync(self._landing, want)
        if gift is None:
            gift = _Gift(want, landing)
        else:
            gift.renew(want, landing)
        _remember(known, want.id, gift)
        have = await to_thread.run_sync(_size_of_part, landing)
        return Wanted(printable(str(landing.path)), have, whole=False)

    def _landing(self, want: Want) -> Landing:
        return Landing(path_of(want.path, self._home), want.name, want.mode, replace=want.replace)

    async def _receive(self, stream: ByteStream, peer: PubKey, gift: _Gift) -> None:
        await gift.stop(0)  # what the client connects for anew has lost its connection, whether we know it yet or not
        if sum(each.is_running for each in self._gifts[peer].values()) >= self._limits.per_peer:
            await refuse(stream, UNREACHABLE, "so many files are being given already")
            return
        await gift.run(stream, peer, self._limits, self._log)


@final
@dataclass(frozen=True, slots=True)
class _Offering:
    """A file that a client was told of.

    Args:
        offer: of it.
        name: as the client said it.
        facts: device, inode, size, time of the last change in nanoseconds, and permissions.
    """

    offer: Offer
    name: str
    facts: tuple[int, int, int, int, int]


@final
class _Gift:
    """A file that a client has for us."""

    def __init__(self, want: Want, landing: Landing) -> None:
        self.landing = landing
        self.failure = ""
        """Why it cannot be done."""
        self.whole = False
        """Whether it is in place."""
        self._want = want
        self._scope: CancelScope | None = None
        self._ended = Event()
        self._ended.set()

    @property
    def is_running(self) -> bool:
        """Whether it comes just now."""
        return self._scope is not None

    def renew(self, want: Want, landing: Landing) -> None:
        """Begin again."""
        self._want, self.landing = want, landing
        self.failure, self.whole = "", False

    async def stop(self, seconds: float) -> None:
        """End what is left of another connection.

        Args:
            seconds: for it to end by itself, so that what has come of it is known.
        """
        with move_on_after(seconds):
            await self._ended.wait()
        while self._scope is not None:
            self._scope.cancel()
            await self._ended.wait()

    async def run(self, stream: ByteStream, peer: PubKey, limits: TransferLimits, log: Logger) -> None:
        """Take it over a connection."""
        self._ended = Event()
        want, shown = self._want, printable(str(self.landing.path))
        with CancelScope() as self._scope:
            try:
                await stream.send(ACCEPTED)
                await self._take(stream, peer, limits)
                log.info("%s has given %s", peer, shown)
            except NetworkError as error:
                log.debug("%s has not given all of %s yet: %s", peer, shown, error)
            except SkywireError as error:
                if self._want is want:  # else it has been begun with anew meanwhile
                    self.failure = printable(str(error))
                log.warning("%s cannot give %s: %s", peer, shown, printable(str(error)))
            finally:
                self._scope = None
                self._ended.set()

    async def _take(self, stream: ByteStream, peer: PubKey, limits: TransferLimits) -> None:
        want, landing = self._want, self.landing

        def give_name(part: Path) -> Path:
            path = landing.give_name(part)
            self.whole = self._want is want  # at once: the client may have gone by now, and asks
            return path

        await to_thread.run_sync(landing.open)
        try:
            file = Transfer(peer, want.id, landing.path.name, want.size, want.sha256)
            async with receiving(file, landing.parts, limits=limits, give_name=give_name) as reception:
                await reception.fetch(Carried(stream, peer))
        finally:
            landing.close()


def _look(home: Path, text: str) -> _Offering:
    path = path_of(text, home)
    try:
        refuse_folder(path)
        whole = path.resolve(strict=True)
        facts = whole.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise PtyError(f"{printable(text)} is no regular file")
        if not os.access(whole, os.R_OK):
            raise PtyError(f"{printable(text)}: the host's user may not read it")
    except (OSError, RuntimeError) as error:  # of a circle of links
        raise PtyError(f"{printable(text)}: {error.strerror if isinstance(error, OSError) else error}") from error
    mode = stat.S_IMODE(facts.st_mode) & _PERMISSIONS
    return _Offering(Offer(whole), path.name, (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, mode))


def _size_of_part(landing: Landing) -> int:
    """What has come of it, as far as that can be seen at once."""
    try:
        return (landing.parts / f"{safe_name(landing.path.name)}.part").lstat().st_size
    except OSError:
        return 0


def _remember(known: dict[str, T], id_: str, each: T) -> None:
    """Put it behind those that were not used for longer, and forget of these what is too many."""
    known.pop(id_, None)
    known[id_] = each
    for old in list(known)[: max(0, len(known) - MOST_KNOWN)]:
        del known[old]
