"""The contract between apps and what runs them. An app's definition imports nothing else of this package.

Each name is imported when it is first used, as those of ``skywire`` are.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skywire.app.command import Command, StreamCommand, TerminalCommand
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
    "TerminalCommand",
]

if not TYPE_CHECKING:  # what type checkers read stands above; to them this would make every name exist
    _HOMES = {
        "skywire.app.command": (
            "Command",
            "StreamCommand",
            "TerminalCommand",
        ),
        "skywire.app.definition": (
            "API_VERSION",
            "App",
            "AppDef",
            "Isolation",
            "NoOptions",
        ),
        "skywire.app.dependency": (
            "AnyOf",
            "Dependencies",
            "Instance",
        ),
        "skywire.app.facility": (
            "DISCOVERY",
            "DMSG",
            "RPC",
            "SKYNET",
            "TRANSPORTS",
            "VISOR_API",
            "Facility",
            "FacilityAbsent",
        ),
        "skywire.app.host": (
            "AppHost",
            "NotInThisMode",
        ),
        "skywire.app.instance": ("AppInstance",),
        "skywire.app.port": ("PortSpec",),
        "skywire.app.registry": ("PortTaken",),
        "skywire.app.run_mode": ("RunMode",),
        "skywire.app.status": ("AppStatus",),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name):
        if (home := _HOME_OF.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(home), name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
