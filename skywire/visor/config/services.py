"""Upstream's file of a deployment: the addresses and keys of its services.

Source: protocol-skywire.md section 1.3, ``services-config.json`` and ``dmsghttp-config.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from skywire.json_document import Document, DocumentError, Node
from skywire.key_path import KeyPath
from skywire.keys import PubKey
from skywire.visor.config.dmsg_section import StaticServer
from skywire.visor.config.errors import ConfigError, WrongSettings
from skywire.visor.config.file import placed
from skywire.visor.config.kinds import key
from skywire.visor.config.reading import Reading

MAX_FILE: Final = 1 << 20
"""Bytes of a file of services; upstream's has 7000."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of one deployment."""

    conf: str = key("")
    conf_dmsg: str = key("")
    dmsg_discovery: str = key("")
    dmsg_discovery_dmsg: str = key("")
    dmsg_servers: tuple[StaticServer, ...] = key(())
    transport_discovery: str = key("")
    transport_discovery_dmsg: str = key("")
    address_resolver: str = key("")
    address_resolver_dmsg: str = key("")
    transport_setup: tuple[PubKey, ...] = key(())
    route_finder: str = key("")
    route_finder_dmsg: str = key("")
    route_setup_nodes: tuple[PubKey, ...] = key(())
    uptime_tracker: str = key("")
    uptime_tracker_dmsg: str = key("")
    service_discovery: str = key("")
    service_discovery_dmsg: str = key("")
    stun_servers: tuple[str, ...] = key(())
    survey_whitelist: tuple[PubKey, ...] = key(())


_PLACES: Final[dict[str, tuple[KeyPath, ...]]] = {
    "conf": (("conf_service",),),
    "conf_dmsg": (("conf_service_dmsg",),),
    "dmsg_discovery": (("dmsg", "discovery"),),
    "dmsg_discovery_dmsg": (("dmsg", "discovery_dmsg"),),
    "dmsg_servers": (("dmsg", "servers"),),
    "transport_discovery": (("transport", "discovery"),),
    "transport_discovery_dmsg": (("transport", "discovery_dmsg"),),
    "address_resolver": (("transport", "address_resolver"),),
    "address_resolver_dmsg": (("transport", "address_resolver_dmsg"),),
    "transport_setup": (("transport", "transport_setup"), ("transport", "transport_setup_nodes")),
    "route_finder": (("routing", "route_finder"),),
    "route_finder_dmsg": (("routing", "route_finder_dmsg"),),
    "route_setup_nodes": (("routing", "route_setup_nodes"), ("routing", "setup_nodes")),
    "uptime_tracker": (("uptime_tracker", "addr"),),
    "uptime_tracker_dmsg": (("uptime_tracker", "addr_dmsg"),),
    "service_discovery": (("launcher", "service_discovery"),),
    "service_discovery_dmsg": (("launcher", "service_discovery_dmsg"),),
    "stun_servers": (("stun_servers",),),
    "survey_whitelist": (("survey_whitelist",),),
}
"""Where each of them goes, with the names of older versions behind that of today."""


@final
class ServicesFile:
    """The services of one deployment, out of a file.

    Args:
        path: the file: an object with ``prod`` and ``test``, or one deployment by itself.
        test: whether the test deployment is meant.

    Raises:
        ConfigError: it cannot be read, is no such file, or a value in it has the wrong type.
    """

    def __init__(self, path: Path, *, test: bool) -> None:
        document = _read(path)
        node, key_path = _deployment(path, document, "test" if test else "prod")
        reading = Reading()
        reading.section(Services, node, key_path)
        if reading.problems:
            raise WrongSettings(placed(path, document, reading.problems))
        self._values = {name: each.value for name, each in node.children.items() if each.value is not None}

    def apply(self, document: Document) -> Document:
        """A configuration with these services in it; those that the file does not have stay as they are."""
        for name, places in _PLACES.items():
            if name in self._values:
                there = next((each for each in places if document.find(each) is not None), places[0])
                document = document.put(there, self._values[name])
        return document


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ConfigError(f"{path} is no file of services: it has more than {MAX_FILE} bytes")
        return Document(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the services in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no file of services: it is not plain text") from None
    except DocumentError as error:
        raise ConfigError(f"{path}, {error}") from None


def _deployment(path: Path, document: Document, name: str) -> tuple[Node, KeyPath]:
    if "prod" not in document.value and "test" not in document.value:
        if "dmsg_discovery" not in document.value and "dmsg_servers" not in document.value:
            raise ConfigError(f"{path} is no file of services: it has neither prod nor test in it")
        return document.root, ()
    node = document.find((name,))
    if node is None or not isinstance(node.value, dict):
        raise ConfigError(f"{path} has no services for {name}")
    return node, (name,)
