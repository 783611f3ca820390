"""What goes on: messages as they change, as server-sent events for the page, and as lines of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, TypeAlias, final

from anyio import Event, create_memory_object_stream, move_on_after, sleep
from anyio.abc import ObjectSendStream

from skywire.app.typed_json import encode
from skywire.apps.skychat.contract import Chat, ChatMessage
from skywire.errors import SkywireError
from skywire.http.live import Give, server_sent
from skywire.net.background import Background

RETRY_MILLISECONDS: Final = 1000
"""That a browser waits before it connects anew."""
QUIET_SECONDS: Final = 15.0
"""Without news after which a stream shows that it lives."""
LOOK_SECONDS: Final = 2.0
"""Between two looks at the contacts when nothing is written: who is there changes without a message."""
SETTLE_SECONDS: Final = 0.1
"""Between two looks when much is written."""

_News: TypeAlias = ChatMessage | SkywireError


@final
class Happenings:
    """The server-sent events for one page.

    ``hello`` comes first, and says whether this goes on where the browser was; if it does not, the browser asks for
    everything anew. What changes from then on comes as ``message``, each with the number of its change.

    Args:
        chat: whose messages.
        known: number of the last change that the browser has got; None if it is new.
    """

    def __init__(self, chat: Chat, known: int | None) -> None:
        self._chat = chat
        self._known = known
        self._news = Event()

    async def tell(self, give: Give) -> None:
        """Go on until cancelled."""
        await give(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        try:
            status = await self._chat.status()
            goes_on = self._known is not None and self._known <= status.change
            since = self._known if self._known is not None and goes_on else status.change
            hello = {"resumed": goes_on, "status": encode(status)}
            await give(server_sent("hello", hello, number=str(since)))
            async with Background() as tasks:
                tasks.start_soon(self._tell_contacts, give)
                await _tell_each(self._chat, since, give, self._message, b": nothing new\n\n")
        except SkywireError as error:
            await give(server_sent("trouble", {"reason": str(error)}))

    def _message(self, message: ChatMessage) -> bytes:
        self._news.set()
        return server_sent("message", encode(message), number=str(message.change))

    async def _tell_contacts(self, give: Give) -> None:
        told: dict[str, object] | None = None
        now: dict[str, object] | None
        while True:
            self._news = Event()
            try:
                now = {"contacts": encode(await self._chat.contacts()), "status": encode(await self._chat.status())}
            except SkywireError:
                now = told  # perhaps the next time
            if now != told:
                told = now
                await give(server_sent("contacts", now))
            with move_on_after(LOOK_SECONDS):
                await self._news.wait()
                await sleep(SETTLE_SECONDS)


async def tell_lines(chat: Chat, since: int | None, give: Give) -> None:
    """Give each message that changes as one line of JSON, until cancelled; an empty line shows that it lives."""
    try:
        await _tell_each(chat, since, give, _line, b"\n")
    except SkywireError as error:
        await give(json.dumps({"error": str(error)}).encode() + b"\n")


async def _tell_each(
    chat: Chat, since: int | None, give: Give, form: Callable[[ChatMessage], bytes], alive: bytes
) -> None:
    """Give what changes, in a form, and between it a sign of life.

    Raises:
        ChatError: the chat does not tell any more.
    """
    sending, receiving = create_memory_object_stream[_News]()  # nothing is taken before there is room for it
    async with Background() as tasks, sending, receiving:
        tasks.start_soon(_pass_on, chat, since, sending)
        while True:
            with move_on_after(QUIET_SECONDS) as waiting:
                news = await receiving.receive()
            if waiting.cancelled_caught:
                await give(alive)
            elif isinstance(news, SkywireError):
                raise news
            else:
                await give(form(news))


async def _pass_on(chat: Chat, since: int | None, sending: ObjectSendStream[_News]) -> None:
    # In a task of its own: to give up waiting for the next item would end the iterator.
    try:
        async for message in chat.changes(since):
            await sending.send(message)
    except SkywireError as error:
        await sending.send(error)


def _line(message: ChatMessage) -> bytes:
    return json.dumps(encode(message)).encode() + b"\n"
