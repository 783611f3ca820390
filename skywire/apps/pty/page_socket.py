"""One websocket of the page: it shows one terminal."""

from __future__ import annotations

from typing import Final, final

from anyio import create_task_group, fail_after
from starlette.websockets import WebSocket, WebSocketDisconnect

from skywire.apps.pty.page_messages import (
    Began,
    Begin,
    Elsewhere,
    End,
    GoOn,
    Have,
    PageMistake,
    Refused,
    Resize,
    Said,
    Taken,
    Told,
    Trouble,
    read_said,
    write_told,
)
from skywire.apps.pty.page_terminal import PageTerminal
from skywire.apps.pty.page_terminals import PageTerminals
from skywire.errors import SkywireError
from skywire.pty.errors import PtyError
from skywire.wire.pty.shell import WindowSize

BEGIN_SECONDS: Final = 10.0
"""For a page to say what it wants."""
MISTAKEN: Final = 1008
"""The code with which a socket is closed whose page says what it may not."""
_LONGEST_REASON: Final = 100


async def serve_socket(socket: WebSocket, terminals: PageTerminals) -> None:
    """Serve a websocket to its end."""
    await socket.accept()
    try:
        try:
            wanted = await _wanted(socket, terminals)
        except PageMistake:
            raise
        except SkywireError as error:
            await socket.send_text(write_told(Refused(str(error))))
            await socket.close()
            return
        await _Shown(socket, *wanted).run()
    except PageMistake as mistake:
        await socket.close(MISTAKEN, str(mistake)[:_LONGEST_REASON])
    except (WebSocketDisconnect, TimeoutError):
        pass


async def _wanted(socket: WebSocket, terminals: PageTerminals) -> tuple[PageTerminal, int]:
    """The terminal that a page wants, and the byte of output from which on."""
    with fail_after(BEGIN_SECONDS):
        said = await _hear(socket)
    if isinstance(said, Begin):
        return terminals.begin(said), 0
    if not isinstance(said, GoOn):
        raise PageMistake("a page begins with begin or go_on")
    terminal = terminals.go_on(said)
    output = terminal.output
    if output.base <= said.have <= output.end:
        terminal.resize(WindowSize(said.columns, said.rows))
        return terminal, said.have
    terminal.resize(WindowSize(said.columns, said.rows), redraw=True)
    return terminal, output.base


async def _hear(socket: WebSocket) -> Said | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    text = message.get("text")
    if text is not None:
        return read_said(text)
    data = message.get("bytes")
    return data if isinstance(data, bytes) else b""


@final
class _Shown:
    """A terminal and the page that shows it."""

    def __init__(self, socket: WebSocket, terminal: PageTerminal, have: int) -> None:
        self._socket = socket
        self._terminal = terminal
        self._have = have
        self._sent = have
        self._mistake: PageMistake | None = None

    async def run(self) -> None:
        """Show it until one of the two leaves."""
        self._terminal.show(self)
        try:
            async with create_task_group() as tasks:

                async def hear() -> None:
                    try:
                        await self._listen()
                    except PageMistake as mistake:
                        self._mistake = mistake
                    except WebSocketDisconnect:
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(hear)
                try:
                    await self._tell_all()
                except PageMistake as mistake:
                    self._mistake = mistake
                except WebSocketDisconnect:
                    pass
                tasks.cancel_scope.cancel()
        finally:
            self._terminal.leave(self)
        if self._mistake is not None:
            raise self._mistake
        await self._socket.close()

    async def _listen(self) -> None:
        while True:
            said = await _hear(self._socket)
            if not self._terminal.is_shown_by(self):
                continue  # it will be told
            match said:
                case bytes():
                    self._terminal.type(said)
                case Have(count):
                    self._take_count(count)
                case Resize(columns, rows):
                    self._terminal.resize(WindowSize(columns, rows))
                case End():
                    self._terminal.finish()
                case _:
                    raise PageMistake("a socket shows one terminal")

    def _take_count(self, count: int) -> None:
        if count != self._sent:
            raise PageMistake(f"{self._sent} bytes were sent, not {count}")
        self._have = count
        self._terminal.wake()

    async def _tell_all(self) -> None:
        """Tell the page what there is to tell, and then what changes, until there will be no more."""
        terminal = self._terminal
        while not (terminal.begun or terminal.refused):
            await terminal.changed()
        if terminal.begun:
            await self._say(Began(terminal.id, terminal.peer, self._have, terminal.received))
        taken, trouble = -1, ""
        while True:
            if not terminal.is_shown_by(self):
                await self._say(Elsewhere())
                return
            if terminal.trouble != trouble:
                trouble = terminal.trouble
                await self._say(Trouble(trouble))
            elif terminal.taken != taken:
                taken = terminal.taken
                await self._say(Taken(taken))
            elif self._have == self._sent and (data := self._piece()):
                self._sent += len(data)
                await self._socket.send_bytes(data)
            elif terminal.refused or (terminal.over is not None and self._have == terminal.output.end):
                await self._say(terminal.over or Refused(terminal.refused))
                terminal.finish()
                return
            else:
                await terminal.changed()

    def _piece(self) -> bytes | None:
        try:
            return self._terminal.piece(self._have)
        except PtyError as error:  # another page has had more
            raise PageMistake(str(error)) from None

    async def _say(self, told: Told) -> None:
        await self._socket.send_text(write_told(told))
