"""Sending what comes from a pipe, line by line."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from anyio import move_on_after, to_thread

from skywire.app.terminal import AppSession, CallRefused
from skywire.apps.skychat import CHANGES, HISTORY, SEND, ChangesArguments, HistoryArguments, SendArguments
from skywire.apps.skychat.contract import ChatError, Delivery, Direction
from skywire.keys import PubKey

LONGEST: Final = 4096
"""Bytes of a message."""
_HAS_IT: Final = frozenset({Delivery.DELIVERED, Delivery.READ})


async def send_lines(session: AppSession, peer: PubKey, wait: float) -> int:
    """Send each line of the standard input as a message.

    Args:
        session: sends them.
        peer: to whom.
        wait: seconds for the peer to have them all, once they are sent; 0 for not to wait.

    Returns:
        The exit code: 1 when a line could not be sent, or has not arrived in the time that was given; lines that were
        sent stay queued.
    """
    before = (await session.call(HISTORY, HistoryArguments(limit=1))).messages if wait else ()
    sent: set[str] = set()
    failed = 0
    number = 0
    async with aclosing(_lines()) as lines:
        async for line in lines:
            number += 1
            try:
                text = _text(line)
                if text:
                    sent.add((await session.call(SEND, SendArguments(peer, text))).id)
            except (CallRefused, ChatError) as error:
                failed += 1
                _complain(f"line {number} is not sent: {error}")
    if wait and sent:
        await _wait(session, sent, max((each.change for each in before), default=0), wait)
        if sent:
            what = "1 message is" if len(sent) == 1 else f"{len(sent)} messages are"
            _complain(f"{what} not delivered yet; what is queued stays so")
    return 1 if failed or (wait and sent) else 0


async def _wait(session: AppSession, sent: set[str], since: int, seconds: float) -> None:
    """Wait until the peer has all that was sent; what is left then it has not."""
    with move_on_after(seconds):
        async with aclosing(session.stream(CHANGES, ChangesArguments(since))) as changes:
            async for message in changes:
                if message.direction is Direction.OUT and message.delivery in _HAS_IT:
                    sent.discard(message.id)
                if not sent:
                    return


async def _lines() -> AsyncGenerator[bytes, None]:
    """The lines of the standard input, without their ends; of one that is too long as much as shows that."""
    if sys.stdin is None:
        return
    read = sys.stdin.buffer.readline
    while line := await to_thread.run_sync(read, LONGEST + 2, abandon_on_cancel=True):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = await to_thread.run_sync(read, LONGEST + 2, abandon_on_cancel=True)
        yield line.rstrip(b"\r\n")


def _text(line: bytes) -> str:
    if len(line) > LONGEST:
        raise ChatError(f"a message has up to {LONGEST} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise ChatError("it is no text in UTF-8") from None


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
