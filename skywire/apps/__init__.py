"""The apps that come with this package, each a folder of its own. None of them is loaded before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "debug": "skywire.apps.debug:DEBUG",
        "log-server": "skywire.apps.log_server:LOG_SERVER",
        "pty": "skywire.apps.pty:PTY_APP",
        "skychat": "skywire.apps.skychat:SKYCHAT",
    }
)
"""Where the definition of each is, as ``module:attribute``; for :class:`skywire.app.catalogue.Catalogue`."""
