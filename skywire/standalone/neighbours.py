"""Who on this machine uses a key on dmsg: of two sessions with one key a relay keeps only the newer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio import fail_after

from skywire.app.api import ProcessAPI
from skywire.app.run_mode import MODE_RULES, RunMode
from skywire.control.local import Found, LocalControlError, controlling, find
from skywire.dmsg.network import DMSG
from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.standalone.errors import KeyTaken

HELLO_SECONDS: Final = 3.0
"""For a process of this machine to say who it is."""
NAME_DIGITS: Final = 10
"""Of a key, in the name of a process's socket."""


def socket_name(mode: RunMode, instance: str, public: PubKey) -> str:
    """How a process with one app is called in the folder of sockets.

    Args:
        mode: of the app.
        instance: its name; of a long one the beginning is enough, for the path of a socket has to be short.
        public: its key.
    """
    kind = "dmsg" if mode is RunMode.DMSG_STANDALONE else "tcp"
    return f"{kind}-{instance[:32].rstrip('-')}-{public.hex()[:NAME_DIGITS]}"


async def require_unused(public: PubKey, sockets: Path, *, seconds: float = HELLO_SECONDS) -> None:
    """Accept a key that nobody on this machine uses on dmsg.

    Args:
        public: the key.
        sockets: the folder of the sockets of this user's processes.
        seconds: for each of these to say who it is.

    Raises:
        KeyTaken: somebody does, or may do: who is called so and does not answer counts as well.
    """
    try:
        neighbours = await find(sockets)
    except LocalControlError:  # then nobody's sockets are there: who starts refuses the folder as well
        return
    for found in neighbours:
        if await _uses(found, public, seconds):
            raise KeyTaken(
                f"{public} is the key of {found.name}, which runs on this machine and would be cut off from dmsg: give "
                "this app a key of its own with --key-file, or leave that out, and one is made; or stop the other"
            )


async def _uses(found: Found, public: PubKey, seconds: float) -> bool:
    try:
        with fail_after(seconds):
            async with controlling(found.path) as client:
                hello = await client.of(ProcessAPI, "process").hello()
    except (SkywireError, TimeoutError):
        return found.name.endswith(f"-{public.hex()[:NAME_DIGITS]}")
    return hello.public == public and DMSG in MODE_RULES[hello.mode].networks
