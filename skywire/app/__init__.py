"""The contract between apps and what runs them. An app's definition imports nothing else of this package."""

from skywire.app.command import Command, StreamCommand
from skywire.app.definition import API_VERSION, App, AppDef, Isolation, NoOptions
from skywire.app.dependency import AnyOf, Dependencies, Instance
from skywire.app.facility import DISCOVERY, DMSG, RPC, SKYNET, TRANSPORTS, VISOR_API, Facility, FacilityAbsent
from skywire.app.host import AppHost, NotInThisMode
from skywire.app.instance import AppInstance
from skywire.app.port import PortSpec
from skywire.app.registry import PortTaken
from skywire.app.run_mode import RunMode
from skywire.app.status import AppStatus

__all__ = [
    "API_VERSION",
    "DISCOVERY",
    "DMSG",
    "RPC",
    "SKYNET",
    "TRANSPORTS",
    "VISOR_API",
    "AnyOf",
    "App",
    "AppDef",
    "AppHost",
    "AppInstance",
    "AppStatus",
    "Command",
    "Dependencies",
    "Facility",
    "FacilityAbsent",
    "Instance",
    "Isolation",
    "NoOptions",
    "NotInThisMode",
    "PortSpec",
    "PortTaken",
    "RunMode",
    "StreamCommand",
]
