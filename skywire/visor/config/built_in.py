"""The app instances that every visor has, whether or not its configuration lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from skywire.app.loaded import LoadedDef
from skywire.app.options import OptionError, decode, describe
from skywire.app.typed_json import encode
from skywire.keys import PubKey
from skywire.visor.config.schema import VisorConfig


@final
@dataclass(frozen=True, slots=True)
class BuiltIn:
    """An instance that starts by itself, named as its definition.

    Args:
        options: what other sections of the configuration say to it, as JSON.
        ports: what they say of its ports, by name.
    """

    options: Callable[[VisorConfig], Mapping[str, object]]
    ports: Callable[[VisorConfig], Mapping[str, int]] = lambda _: {}


def _log_server(config: VisorConfig) -> Mapping[str, object]:
    options: dict[str, object] = {
        "allow": _keys((*config.survey_whitelist, *config.user_survey_whitelist, *config.hypervisors))
    }
    local = config.log_server.local_addr
    if local:
        options["local"] = f"127.0.0.1{local}" if local.startswith(":") else local  # it is never for other machines
    return options


def _pty(config: VisorConfig) -> Mapping[str, object]:
    return {"allow": _keys((*config.hypervisors, *config.pty.whitelist))}


def _pty_ports(config: VisorConfig) -> Mapping[str, int]:
    return {"pty": config.pty.dmsg_port} if config.pty.dmsg_port else {}


def _debug(config: VisorConfig) -> Mapping[str, object]:
    return {"allow": _keys(config.hypervisors)}


def _keys(keys: Iterable[PubKey]) -> list[str]:
    """Each once, as text."""
    return [str(key) for key in dict.fromkeys(keys)]


BUILT_IN: Final[Mapping[str, BuiltIn]] = {
    "log-server": BuiltIn(_log_server),
    "pty": BuiltIn(_pty, _pty_ports),
    "debug": BuiltIn(_debug),
}
"""By the name of instance and definition alike."""


def said_elsewhere(name: str, definition: str, config: VisorConfig) -> Mapping[str, object]:
    """What other sections say to an instance, as JSON by the name of the option.

    Args:
        name: of the instance.
        definition: its name.
        config: with the sections.
    """
    found = BUILT_IN.get(name)
    return {} if found is None or name != definition else found.options(config)


def ports_said_elsewhere(name: str, definition: str, config: VisorConfig) -> Mapping[str, int]:
    """What other sections say of the ports of an instance; see :func:`said_elsewhere`."""
    found = BUILT_IN.get(name)
    return {} if found is None or name != definition else found.ports(config)


def options_unless_set(name: str, definition: LoadedDef, config: VisorConfig) -> dict[str, object]:
    """All options that an instance has before its row says anything, as JSON by their names."""
    found = {each.name: encode(each.default) for each in describe(definition.options)}
    try:
        made = decode(definition.options, said_elsewhere(name, definition.name, config))
    except OptionError:  # the row is broken then, and people are told so
        return found
    return {option: encode(getattr(made, option)) for option in found}
