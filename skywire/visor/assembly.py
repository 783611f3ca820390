"""From a configuration to a visor: what it names is looked up, and what it cannot have is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from skywire.app.catalogue import Catalogue
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.discovery.direct import DirectDiscovery
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.visor.blueprint import Blueprint
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.file import ConfigFile
from skywire.visor.config.hiding import hide
from skywire.visor.config.rows import instances
from skywire.visor.config.settings import Settings


@asynccontextmanager
async def way_in(settings: Settings) -> AsyncIterator[Discovery | None]:
    """The way into the dmsg network, while the block runs; None where none is configured.

    Raises:
        ConfigError: the address of the discovery is none.
    """
    if settings.discovery:
        try:
            http = HttpDiscovery(settings.discovery)
        except ValueError as error:
            raise ConfigError(f"{settings.sources['discovery']}: discovery: {error}") from None
        async with http:
            yield http
    elif settings.servers:
        yield DirectDiscovery(settings.servers)
    else:
        yield None


def assemble(
    settings: Settings,
    discovery: Discovery | None,
    *,
    file: ConfigFile,
    catalogue: Catalogue,
    sockets: Path | None,
    trust: bool = False,
) -> Blueprint:
    """What the visor of a configuration is made of.

    Args:
        settings: of the file, the environment and the command line.
        discovery: the way into the network.
        file: where changes are written down.
        catalogue: the definitions that there are.
        sockets: the folder of the socket for control on this machine; None for none.
        trust: whether programs that the file names may be executed.
    """
    configs, warnings = instances(file.config, catalogue, trust=trust)
    return Blueprint(
        identity=settings.identity,
        discovery=discovery,
        local_path=settings.local_path,
        catalogue=catalogue,
        instances=configs,
        book=file,
        shown=lambda: hide(file.document.value, file.config, catalogue),
        grants=settings.grants,
        warnings=(*file.warnings, *warnings),
        sockets=sockets,
        min_sessions=settings.min_sessions,
    )
