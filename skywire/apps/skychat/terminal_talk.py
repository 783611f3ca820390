"""A conversation at a terminal: what comes stands above the line that is being written."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final, final

from anyio import CancelScope, Event, open_signal_receiver, sleep
from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from skywire.app import NoOptions
from skywire.app.terminal import AppSession, CallRefused
from skywire.apps.skychat import (
    CHANGES,
    CONTACTS,
    HISTORY,
    READ,
    SEND,
    ChangesArguments,
    HistoryArguments,
    ReadArguments,
    SendArguments,
)
from skywire.apps.skychat.contract import ChatMessage, Contact, Delivery, Direction
from skywire.apps.skychat.terminal_text import YOU, body, clock, day, excerpt, name_of, one_line
from skywire.net.background import Background

BY_SIGNAL: Final = 128
"""To which the number of a signal is added, for the exit code of who is ended by it."""
LOOK_SECONDS: Final = 3.0
"""Between two looks at whether the peer is there."""
MOST_REFUSED: Final = 2
"""Looks in a row that are refused, after which it is over: the app has ended."""
SETTLE_SECONDS: Final = 0.3
"""In which several messages that are delivered, or read, become one line."""
_FAINT: Final = "ansibrightblack"
_STYLES: Final = {Direction.IN: "bold ansicyan", Direction.OUT: "bold ansigreen"}


@final
class Talk:
    """One conversation.

    Args:
        session: the running chat.
        contact: with whom.
        history: messages of the past to show first.
    """

    def __init__(self, session: AppSession, contact: Contact, history: int) -> None:
        self._session = session
        self._contact = contact
        self._history = history
        self._known: dict[tuple[Direction, str], ChatMessage] = {}
        self._last = 0
        self._day = ""
        self._marked: list[ChatMessage] = []
        self._news = Event()
        self._prompt: PromptSession[str] = PromptSession(
            erase_when_done=True, key_bindings=_bindings(), bottom_toolbar=self._foot, enable_suspend=True
        )

    async def run(self) -> int:
        """Talk until Ctrl-D; gives the exit code."""
        code = 0
        since = await self._show_past()
        # A signal that just killed it would leave the terminal as drawing needs it.
        with open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals, CancelScope() as talking:

            async def end_by_signal(signals: AsyncIterator[signal.Signals]) -> None:
                nonlocal code
                async for number in signals:
                    code = BY_SIGNAL + number
                    talking.cancel()

            async with Background() as tasks:
                tasks.start_soon(end_by_signal, signals)
                tasks.start_soon(self._follow, since)
                tasks.start_soon(self._tell_marks)
                tasks.start_soon(self._look)
                code = await self._listen()
        return code

    async def _show_past(self) -> int:
        """Show the newest messages; gives the change behind which nothing has been seen."""
        # First where we are, then what there is: what comes in between comes twice, and is shown once.
        newest = (await self._session.call(HISTORY, HistoryArguments(limit=1))).messages
        peer = self._contact.peer
        await self._print(
            (_FAINT, f"{name_of(self._contact)} is {peer}\nCtrl-D ends, Enter sends, Alt-Enter begins a new line.")
        )
        if self._history:
            past = (await self._session.call(HISTORY, HistoryArguments(peer, limit=self._history))).messages
            for message in past:
                await self._show(message)
            await self._say_read()
        else:
            self._last = max((each.number for each in newest), default=0)
        return max((each.change for each in newest), default=0)

    async def _listen(self) -> int:
        """Send what is typed."""
        draft = ""
        while True:
            try:
                text = await self._prompt.prompt_async("> ", default=draft, handle_sigint=False)
            except EOFError:
                return 0
            except KeyboardInterrupt:
                return BY_SIGNAL + signal.SIGINT
            draft = ""
            if not text.strip():
                continue
            try:
                await self._session.call(SEND, SendArguments(self._contact.peer, text))
            except CallRefused as error:
                draft = text
                await self._print(("ansired", f"not sent: {error}"))

    async def _follow(self, since: int) -> None:
        async with aclosing(self._session.stream(CHANGES, ChangesArguments(since))) as changes:
            async for message in changes:
                if message.peer == self._contact.peer:
                    await self._take(message)

    async def _take(self, message: ChatMessage) -> None:
        key = message.direction, message.id
        before = self._known.get(key)
        if before is None:
            if message.number > self._last:  # else it is older than what is shown
                await self._show(message)
                await self._say_read()
            return
        if message.change <= before.change:
            return
        self._known[key] = message
        if message.deleted and not before.deleted:
            who = YOU if message.direction is Direction.OUT else name_of(self._contact)
            await self._print((_FAINT, f"      deleted by {who}: {excerpt(before)}"))
        elif message.direction is Direction.OUT and message.delivery is not before.delivery:
            self._marked.append(message)
            self._news.set()
        elif message.file is not None and message.file != before.file and message.file.done >= message.file.size:
            await self._show(message)

    async def _show(self, message: ChatMessage) -> None:
        self._known[message.direction, message.id] = message
        self._last = max(self._last, message.number)
        if (today := day(message.time)) != self._day:
            self._day = today
            await self._print((_FAINT, f"--- {today}"))
        answered = next((each for each in self._known.values() if each.id == message.reply_to), None)
        quote = f"(to: {excerpt(answered)}) " if answered is not None and message.reply_to else ""
        is_ours = message.direction is Direction.OUT
        await self._print(
            (_FAINT, f"{clock(message.time)} "),
            (_STYLES[message.direction], YOU if is_ours else name_of(self._contact)),
            ("", ": "),
            (_FAINT, quote),
            ("", body(message)),
            (_FAINT, f"  [{message.delivery.value}]" if is_ours and not message.deleted else ""),
        )

    async def _say_read(self) -> None:
        """All that has come in is on the screen."""
        unread = [
            each.number
            for each in self._known.values()
            if each.direction is Direction.IN and each.delivery is Delivery.DELIVERED
        ]
        if unread:
            with suppress(CallRefused):  # then it stays unread
                await self._session.call(READ, ReadArguments(self._contact.peer, max(unread)))

    async def _tell_marks(self) -> None:
        """Say how far messages have come that stand above with less."""
        while True:
            await self._news.wait()
            await sleep(SETTLE_SECONDS)
            self._news = Event()
            marked, self._marked = {each.id: each for each in self._marked}, []
            for delivery in Delivery:
                those = [each for each in marked.values() if each.delivery is delivery]
                if those:
                    what = excerpt(those[-1]) if len(those) == 1 else f"{len(those)} messages, to {excerpt(those[-1])}"
                    await self._print((_FAINT, f"      {delivery.value}: {what}"))

    async def _look(self) -> None:
        """See whether the peer is there, and whether the chat is: one that is cut off does not say that it ends."""
        refused = 0
        while True:
            await sleep(LOOK_SECONDS)
            try:
                contacts = (await self._session.call(CONTACTS, NoOptions())).contacts
            except CallRefused:
                refused += 1
                if refused == MOST_REFUSED:
                    raise
                continue
            refused = 0
            self._contact = next((each for each in contacts if each.peer == self._contact.peer), self._contact)
            self._prompt.app.invalidate()

    def _foot(self) -> str:
        contact = self._contact
        there = f"connected over {one_line(contact.network)}" if contact.network else "not connected"
        queued = sum(each.delivery is Delivery.QUEUED and not each.deleted for each in self._known.values())
        parts = [name_of(contact), there, *([f"{queued} queued"] if queued else [])]
        return "  ".join(parts)[: shutil.get_terminal_size().columns - 1]

    async def _print(self, *parts: tuple[str, str]) -> None:
        text = FormattedText([(style, words) for style, words in parts if words])
        await run_in_terminal(lambda: print_formatted_text(text))


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c")
    def _(event: KeyPressEvent) -> None:
        """Take back what is written, and end where nothing is."""
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt(), style="class:aborting")

    return bindings
