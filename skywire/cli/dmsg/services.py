"""The commands ``disc`` and ``server``, so that their modules are imported only by who runs them."""

from __future__ import annotations

from typing import Final

from cyclopts import App

from skywire.cli.dmsg.disc import add_disc_command
from skywire.cli.dmsg.server import add_server_command

_services = App()
add_disc_command(_services)
add_server_command(_services)

disc: Final = _services["disc"]
server: Final = _services["server"]
