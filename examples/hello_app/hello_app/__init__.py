"""An app that greets whoever connects: all that a third party has to write."""

from dataclasses import dataclass

from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire import EVERYONE, Conn
from skywire.app import App, AppHost, PortSpec

GREETING = PortSpec("greeting", overlay=4000, tcp=4000)


@dataclass(frozen=True)
class Options:
    greeting: str = "Hello"


async def run(host: AppHost, options: Options, *, task_status: TaskStatus[None]) -> None:
    async def greet(conn: Conn) -> None:
        host.log.info("greeting %s", conn.remote.pk)
        await conn.send(f"{options.greeting}, {conn.remote.pk}!\n".encode())

    async with host.serve(GREETING, greet, peers=EVERYONE):
        task_status.started()
        await sleep_forever()


HELLO = App(name="hello", summary="Greets whoever connects.", options=Options, run=run, ports=(GREETING,))
