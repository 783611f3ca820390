"""The command by which one app runs alone: made from its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter as Argument
from inspect import Signature
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter

from skywire.app.limits import RestartPolicy
from skywire.app.loaded import LoadedDef
from skywire.app.run_mode import RunMode
from skywire.cli.program import Json
from skywire.cli.standalone.option_flags import flags_of, read_options


@Parameter(name="*", group=Group("Process", sort_key=20))
@dataclass(frozen=True)
class ProcessFlags:
    """The process and its identity.

    Parameters
    ----------
    name:
        Of the instance, as skywire app knows it; the app's unless given.
    data:
        The folder of its data, its logs and its key; one of your user's data folder unless given. A process has it for
        itself.
    key_file:
        The file with its secret key. Without one, a new key is made in the folder of its data, and kept.
    passphrase_file:
        The first line of this file opens the key file; else it is asked for.
    port:
        The number of one of its ports, as NAME=NUMBER, or only NUMBER where it has one port. May be repeated.
    restart:
        What happens after the app has failed.
    log_level:
        Tell this much: debug, info, warning, error. Or set SKYWIRE_LOG_LEVEL.
    """

    name: str | None = None
    data: Path | None = None
    key_file: Path | None = None
    passphrase_file: Path | None = None
    port: Annotated[tuple[str, ...], Parameter(name="--port", negative="", show_default=False)] = ()
    restart: RestartPolicy = RestartPolicy.ON_FAILURE
    log_level: Annotated[str | None, Parameter(name=["--log-level", "-s"])] = None
    as_json: Json = False


@Parameter(name="*", group=Group("Network", sort_key=15))
@dataclass(frozen=True)
class DmsgFlags:
    """The way into dmsg.

    Parameters
    ----------
    disc:
        The discovery, as http://HOST:PORT; or set SKYWIRE_DMSG_DISC.
    server:
        A server to use instead of a discovery, as KEY@HOST:PORT. May be repeated; everyone is then taken to be on
        these servers.
    min_sessions:
        Servers to be reachable through; 0 for all. Without it one that the discovery knows, or all of --server.
    """

    disc: Annotated[str | None, Parameter(name=["--disc", "-D"])] = None
    server: Annotated[tuple[str, ...], Parameter(name="--server", negative="", show_default=False)] = ()
    min_sessions: int | None = None


@Parameter(name="*", group=Group("Network", sort_key=15))
@dataclass(frozen=True)
class TcpFlags:
    """Where it is reached.

    Parameters
    ----------
    listen:
        HOST or HOST:PORT to listen on: 127.0.0.1 unless given, where only this machine comes; 0.0.0.0 and :: are all
        addresses of this machine. May be repeated.
    visor_key:
        Use the key of the visor that is configured on this machine; it may run at the same time.
    config:
        With --visor-key: the configuration of that visor; or set SKYWIRE_CONFIG.
    """

    listen: Annotated[tuple[str, ...], Parameter(name="--listen", negative="", show_default=False)] = ()
    visor_key: Annotated[bool, Parameter(negative="", show_default=False)] = False
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None


_COMMON: Final = frozenset(
    {
        "--name",
        "--data",
        "--key-file",
        "--passphrase-file",
        "--port",
        "--restart",
        "--log-level",
        "--json",
        "--disc",
        "--server",
        "--min-sessions",
        "--listen",
        "--visor-key",
        "--config",
        "--help",
        "--version",
    }
)
"""The flags above. All of them in every mode: an option is to be called the same in both programs."""


def command_of(loaded: LoadedDef, mode: RunMode) -> Callable[..., None]:
    """A function that runs an app alone; its signature has the app's options.

    Args:
        loaded: the definition.
        mode: in which it runs.
    """
    flags = flags_of(loaded, _COMMON)
    group = Group(f"Options of {loaded.name}", sort_key=10)
    kind: type[object] = DmsgFlags if mode is RunMode.DMSG_STANDALONE else TcpFlags
    signature = Signature(
        [
            *(flag.argument(group) for flag in flags),
            Argument("network", Argument.KEYWORD_ONLY, default=kind(), annotation=kind),
            Argument("process", Argument.KEYWORD_ONLY, default=ProcessFlags(), annotation=ProcessFlags),
        ]
    )

    def run(**given: object) -> None:
        network = given.pop("network", kind())
        process = given.pop("process", ProcessFlags())
        assert isinstance(network, DmsgFlags | TcpFlags)
        assert isinstance(process, ProcessFlags)
        from skywire.cli.standalone.program import run_alone  # the networks are loaded only by who runs an app

        run_alone(loaded, read_options(loaded, flags, given), network, process)

    vars(run)["__signature__"] = signature
    run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return run
