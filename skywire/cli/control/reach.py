"""Which node a command is about: the options that all these commands have, before or after them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from cyclopts import Group, Parameter

from skywire.cli.program import UsageError

NODE_VARIABLE: Final = "SKYWIRE_NODE"
"""The environment variable with the name of a process."""
ANSWER_SECONDS: Final = 60.0
"""For a node to do what it is asked: to stop and start an app takes it as long as the app has."""
HELLO_SECONDS: Final = 3.0
"""For a process of this machine to say who it is."""


@Parameter(name="*", group=Group("Node", sort_key=10))
@dataclass(frozen=True)
class Reach:
    """Which node, and how it is reached.

    Parameters
    ----------
    node:
        The process on this machine that is meant, by the beginning of its name or key; or set SKYWIRE_NODE.
    via:
        A node elsewhere, as dmsg://KEY. It is reached through the visor of this machine, with that one's key; or with a
        key of our own. It has to let that key control it.
    timeout:
        Seconds for each answer, 60 unless given.
    key_file:
        With --via: the file with a secret key of our own; or set SKYWIRE_DMSG_SK.
    passphrase_file:
        With --via: the first line of this file opens the key file; else it is asked for.
    disc:
        With --via: the discovery, as http://HOST:PORT; or set SKYWIRE_DMSG_DISC.
    server:
        With --via: a server to use instead of a discovery, as KEY@HOST:PORT. May be repeated.
    """

    node: str | None = None
    via: str | None = None
    timeout: float | None = None
    key_file: Path | None = None
    passphrase_file: Path | None = None
    disc: Annotated[str | None, Parameter(name=["--disc", "-D"])] = None
    server: Annotated[tuple[str, ...], Parameter(name="--server", negative="", show_default=False)] = ()

    @property
    def seconds(self) -> float:
        """For each answer.

        Raises:
            UsageError: that is no time.
        """
        if self.timeout is None:
            return ANSWER_SECONDS
        if not 0 < self.timeout < math.inf:
            raise UsageError("--timeout is above 0 seconds")
        return self.timeout

    @property
    def name(self) -> str | None:
        """The process of this machine that is meant, or through which a node elsewhere is reached; if one is named."""
        return self.node or os.environ.get(NODE_VARIABLE) or None


LOCAL: Final = Reach()
"""No option given."""
VALUED: Final = ("--node", "--via", "--timeout", "--key-file", "--passphrase-file", "--disc", "-D", "--server")
"""The options above, which each have a value."""

Knowing: TypeAlias = Annotated[
    bool,
    Parameter(
        name="--i-know-what-im-doing",
        negative="",
        show_default=False,
        help="Do it even if you may lose access to the node.",
    ),
]
"""The switch that overrides the guard against lock-outs."""
