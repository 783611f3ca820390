"""``skywire app skychat chat``: a conversation at a terminal, or a pipe into one."""

from __future__ import annotations

import sys
from typing import Final

from skywire.app import NoOptions
from skywire.app.terminal import AppSession
from skywire.apps.skychat import CONTACTS, TalkArguments
from skywire.apps.skychat.contract import ChatError, Contact
from skywire.apps.skychat.terminal_text import name_of, one_line
from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.known_names import listed

_LONGEST_NAME: Final = 100
"""Characters of a name that is not known, in an error."""


async def talk(session: AppSession, arguments: TalkArguments) -> int:
    """See :class:`skywire.app.terminal.TerminalProgram`.

    Raises:
        ChatError: nobody is called so.
    """
    contact = await _meant(session, arguments.peer.strip())
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        from skywire.apps.skychat.terminal_talk import Talk  # what draws on terminals is loaded for one only

        return await Talk(session, contact, arguments.history).run()
    from skywire.apps.skychat.terminal_pipe import send_lines

    return await send_lines(session, contact.peer, arguments.wait)


async def _meant(session: AppSession, name: str) -> Contact:
    contacts = (await session.call(CONTACTS, NoOptions())).contacts
    try:
        peer = PubKey.from_hex(name)
    except InvalidKey:
        for contact in contacts:
            if name and contact.alias == name:
                return contact
        known = [one_line(name_of(contact)) for contact in contacts if contact.alias]
        called = one_line(name[:_LONGEST_NAME])
        raise ChatError(f"{called!r} is no public key, and nobody is called so; {listed(called, known)}") from None
    return next((contact for contact in contacts if contact.peer == peer), Contact(peer))
