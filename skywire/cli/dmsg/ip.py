"""The command ``ip``: from which address the servers see us."""

from __future__ import annotations

from typing import Annotated

from anyio import CapacityLimiter, create_task_group
from cyclopts import Parameter

from skywire.cli.dmsg.connection import CONCURRENCY, DEFAULTS, Connection, Options, run
from skywire.cli.program import Json, NotReached, show_json
from skywire.dmsg.network import DmsgNetwork
from skywire.dmsg.stream_handshake import IPAddress
from skywire.errors import NetworkError, ProtocolError
from skywire.keys import PubKey


def ip(
    *,
    every: Annotated[bool, Parameter(name=["--all", "-a"], negative="")] = False,
    as_json: Json = False,
    options: Options = DEFAULTS,
) -> None:
    """Tell the public IP address of this machine, as a server sees it.

    Parameters
    ----------
    every:
        Ask all servers, and write a line for each: its key, and the address.
    """

    async def tool(connection: Connection) -> None:
        async with connection.discovery() as discovery, connection.network() as network:
            if not every:
                address = await _ask(network, ())
                if as_json:
                    show_json({"ip": str(address)})
                else:
                    print(address)
                return
            keys = [entry.static for entry in await discovery.all_servers() if entry.static is not None]
            answers = await _ask_all(network, keys)
        if as_json:
            show_json(
                {
                    "servers": [
                        {"server": str(key), "ip": None, "error": str(answer)}
                        if isinstance(answer, Exception)
                        else {"server": str(key), "ip": str(answer), "error": None}
                        for key, answer in answers.items()
                    ]
                }
            )
        for key, answer in answers.items():
            if isinstance(answer, Exception):
                connection.tell(str(answer))
            elif not as_json:
                print(key, answer)
        if all(isinstance(answer, Exception) for answer in answers.values()):
            raise NotReached("no server told our address")

    run(options, tool)


async def _ask_all(network: DmsgNetwork, servers: list[PubKey]) -> dict[PubKey, IPAddress | NotReached]:
    answers: dict[PubKey, IPAddress | NotReached] = {}
    limiter = CapacityLimiter(CONCURRENCY)

    async def ask(server: PubKey) -> None:
        async with limiter:
            try:
                answers[server] = await _ask(network, (server,))
            except NotReached as error:
                answers[server] = error

    async with create_task_group() as task_group:
        for server in servers:
            task_group.start_soon(ask, server)
    return {server: answers[server] for server in servers}


async def _ask(network: DmsgNetwork, servers: tuple[PubKey, ...]) -> IPAddress:
    try:
        return await network.public_ip(servers)
    except (NetworkError, ProtocolError) as error:
        raise NotReached(str(error)) from error
