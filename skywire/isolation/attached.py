"""An app that runs in a process which others supervise: it attaches to us with a token that is good for one time."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

from anyio import BrokenResourceError, CancelScope, EndOfStream, move_on_after
from anyio.abc import SocketListener, TaskStatus
from anyio.to_thread import run_sync

from skywire.app.api import Attachment
from skywire.app.host import AppHost
from skywire.app.status import AppStatus
from skywire.control.local import accept_locally, listening_locally
from skywire.errors import SkywireError
from skywire.isolation.interfaces import Assignment
from skywire.isolation.link import HandOverFailed
from skywire.isolation.session import Session
from skywire.net.background import Background
from skywire.net.local_socket import LocalSocket
from skywire.privatefile import PrivateFile

TOKEN_BYTES: Final = 32
TOKEN_LENGTH: Final = 2 * TOKEN_BYTES
"""Characters of a token: hexadecimal, small letters."""
TOKEN_SECONDS: Final = 5.0
"""For a process that connects to show its token."""


class TokenFileError(SkywireError):
    """The file with the token cannot be written or read; the text says what to do."""


TOKEN_FILE: Final = PrivateFile("token file", 2 * TOKEN_LENGTH, TokenFileError)


@final
class AttachedInstance:
    """See :class:`skywire.app.instance.AppInstance`.

    Args:
        host: of the instance.
        where: the socket and the file with the token.
        assign: says what is to run; may raise.
        session: makes one over a link.
        token_seconds: for a process that connects to show its token.
    """

    def __init__(
        self,
        host: AppHost,
        where: Attachment,
        assign: Callable[[], Assignment],
        session: Callable[[LocalSocket], Session],
        token_seconds: float,
    ) -> None:
        self._host = host
        self._where = where
        self._assign = assign
        self._new_session = session
        self._token_seconds = token_seconds
        self._token = ""
        self._session: Session | None = None
        self._begun = False
        self._stopping = False
        self._absent = f"no process has attached yet: {self._hint}"
        self._scope = CancelScope()

    async def start(self, *, task_status: TaskStatus[None]) -> None:
        """See the protocol."""
        with self._scope:
            async with listening_locally(self._where.socket) as listener:
                try:
                    await self._renew_token()
                    task_status.started()
                    while not self._stopping:
                        await self._serve_one(listener)
                finally:
                    self._where.token_file.unlink(missing_ok=True)

    async def stop(self) -> None:
        """See the protocol."""
        self._stopping = True
        if self._session is None:
            self._scope.cancel()
        else:
            await self._session.stop()

    def status(self) -> AppStatus:
        """See the protocol."""
        return self._host.reported if self._begun else AppStatus(self._absent)

    @property
    def _hint(self) -> str:
        return f"run `skywire app attach {self._host.name}`"

    async def _serve_one(self, listener: SocketListener) -> None:
        """Wait for a process, and have it run the app until it leaves."""
        link = await self._admit(listener)
        self._token = ""
        self._where.token_file.unlink(missing_ok=True)
        async with link, Background() as tasks:
            tasks.start_soon(_refuse_all, listener)
            session = self._session = self._new_session(link)
            self._host.log.info("a process has attached")
            try:
                await session.run(self._assign(), self._started)
            except HandOverFailed as error:
                session.failure = session.failure or str(error)
            finally:
                self._session = None
        why = f" ({session.failure})" if session.failure else ""
        if not self._stopping:
            self._host.log.warning("the process has left%s", why)
            await self._renew_token()  # before anybody is told that another may come
        self._absent = f"its process has left{why}: {self._hint}"
        self._begun = False

    def _started(self) -> None:
        self._begun = True

    async def _renew_token(self) -> None:
        token, file = secrets.token_hex(TOKEN_BYTES), self._where.token_file

        def write() -> None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            TOKEN_FILE.write(file, f"{token}\n", replace=True)

        await run_sync(write)
        self._token = token

    async def _admit(self, listener: SocketListener) -> LocalSocket:
        """The first process that shows the token; others are sent away, one after the other."""
        while True:
            stream = await accept_locally(listener)
            try:
                if await self._shows_token(stream):
                    return stream
            except BaseException:
                await stream.aclose()
                raise
            self._host.log.warning("a process tried to attach without the token")
            await stream.aclose()

    async def _shows_token(self, stream: LocalSocket) -> bool:
        shown = b""
        with move_on_after(self._token_seconds), suppress(EndOfStream, BrokenResourceError):
            while len(shown) < TOKEN_LENGTH:
                shown += await stream.receive(TOKEN_LENGTH - len(shown))
        return hmac.compare_digest(shown, self._token.encode())


async def _refuse_all(listener: SocketListener) -> None:
    """Close what connects while a process is attached already."""
    while True:
        await (await accept_locally(listener)).aclose()
