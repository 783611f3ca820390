"""Apps whose places on a command line are not their names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from skywire.app import App, NoOptions, RunMode
from skywire.app.options import option
from skywire.keys import PubKey
from skywire.net.address import Address
from tests.programs.node_apps import keep


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Many:
    """Options of each kind there is, and some whose names are taken."""

    text: str = option("a", help="Some text.")
    count: int = option(3)
    share: float = option(0.5)
    loud: bool = option(False, help="In capitals.")
    quick: bool = True
    color: Color = Color.RED
    keys: tuple[PubKey, ...] = ()
    peers: tuple[Address, ...] = option((), help="tcp://<key>@<host> of *all* peers_ [here]")
    words: tuple[str, ...] = ("x", "y")
    limit: int | None = None
    home: Path | None = None
    name: str = option("", help="Not that of the instance.")
    passcode: str = option("", secret=True, help="What peers have to know.")
    pin: int = option(0, secret=True)

    def __post_init__(self) -> None:
        if self.count > 100:
            raise ValueError("count is at most 100")


SOCKS_SERVER = App(name="socks-server", summary="For tests.", options=NoOptions, run=keep, cli=("socks",))
SOCKS_CLIENT = App(name="socks-client", summary="For tests.", options=NoOptions, run=keep, cli=("socks", "client"))
SOCKS_WEB = App(
    name="socks-web",
    summary="For tests.",
    options=NoOptions,
    run=keep,
    cli=("socks", "web"),
    modes=frozenset({RunMode.DMSG_STANDALONE}),
)
TUNNEL = App(name="tunnel", summary="For tests.", options=NoOptions, run=keep, cli=("tunnel", "far", "end"))
MANY = App(name="many", summary="For tests of <all> `kinds`.", options=Many, run=keep)
