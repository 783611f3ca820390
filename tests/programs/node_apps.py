"""Apps that a node is offered in tests, as those of another package."""

from __future__ import annotations

from dataclasses import dataclass

from anyio import CancelScope, sleep_forever
from anyio.abc import TaskStatus

from skywire import Conn
from skywire.app import App, AppHost, NoOptions, PortSpec


@dataclass(frozen=True)
class Padding:
    text: str = ""


async def keep(host: AppHost, options: object, *, task_status: TaskStatus[None]) -> None:
    task_status.started()
    await sleep_forever()


async def resist(host: AppHost, options: NoOptions, *, task_status: TaskStatus[None]) -> None:
    task_status.started()
    with CancelScope(shield=True):
        await sleep_forever()


async def chatter(host: AppHost, options: NoOptions, *, task_status: TaskStatus[None]) -> None:
    async def talk(conn: Conn) -> None:
        for _ in range(1000):
            host.log.warning("%s", "x" * 200)
        await conn.send(b"said")

    async with host.serve(SAY, talk):
        task_status.started()
        await sleep_forever()


SAY = PortSpec("say", overlay=4500)
GATE = App(name="gate", summary="Must not be lost.", options=Padding, run=keep, critical=True)
KEEPER = App(name="keeper", summary="Keeps.", options=Padding, run=keep, ports=(PortSpec("keep", overlay=4600),))
STUBBORN = App(name="stubborn", summary="Does not end.", options=NoOptions, run=resist)
CHATTER = App(name="chatter", summary="Says much.", options=NoOptions, run=chatter, ports=(SAY,))
OFFERED = ("gate", "keeper", "stubborn", "chatter")
