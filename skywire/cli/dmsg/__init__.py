"""The tools and services of the dmsg network, for both programs that have them."""

from __future__ import annotations

from typing import Final

from cyclopts import App

COMMANDS: Final = {
    "curl": """Send an HTTP request to a peer, and write the body of the answer.""",
    "http": """Serve a folder to peers by HTTP, for reading.

Its address is written when peers can come. It ends by Ctrl-C or SIGTERM. Hidden are names that begin with a dot, and
links that lead out of the folder.""",
    "cat": """Connect the standard input and output to a peer.

A stream cannot end in one direction only. So when the input has ended, and all of it is with the servers, what the
peer sends is still written, until the peer ends the stream or is silent for some seconds. When the peer ends it, so
does the program.""",
    "iperf": """Measure how many bytes a second go to a peer that runs this with --listen.""",
    "probe": """Tell which parts of the network answer, and how fast: discovery, servers, peers.

The exit code is 3 when the discovery, every server, a server of --server, or one of the peers does not answer.""",
    "ip": """Tell the public IP address of this machine, as a server sees it.""",
    "disc": """Serve a dmsg discovery, the directory of who is reached through which servers.

One line is written when it serves. It ends by Ctrl-C or SIGTERM.""",
    "server": """A dmsg server, which relays streams between clients.""",
}
"""The help of each command. Their modules are imported only when they are run, so it has to be here."""

_SERVICES: Final = ("disc", "server")


def add_dmsg_commands(app: App) -> None:
    """Give ``app`` all of them."""
    for name, text in COMMANDS.items():
        module = "services" if name in _SERVICES else name
        app.command(f"{__name__}.{module}:{name}", name=name, help=text)
