"""A chat whose peers are played by the test, with the commands of skychat, for tests of programs."""

from __future__ import annotations

from dataclasses import replace

from anyio import sleep_forever
from anyio.abc import TaskStatus

from skywire.app import App, AppHost, NoOptions, TerminalCommand
from skywire.app.loaded import load
from skywire.app.record import InstanceConfig
from skywire.apps.skychat import ALIAS, CHANGES, CONTACTS, DELETE, HISTORY, READ, SEND, TALK
from skywire.apps.skychat.serving import answer
from tests.app.site import instance
from tests.apps.skychat.memory_chat import MemoryChat
from tests.programs.node_apps import keep

LOST = TerminalCommand("lost", "A program that is not there.", NoOptions, "tests.programs.murmur:nothing")
MURMUR = App(
    name="murmur",
    summary="Murmurs.",
    options=NoOptions,
    run=keep,
    commands=(SEND, HISTORY, CHANGES, READ, DELETE, CONTACTS, ALIAS, TALK, LOST),
)


def murmuring(chat: MemoryChat) -> InstanceConfig:
    """An instance over a chat."""

    async def run(host: AppHost, options: NoOptions, *, task_status: TaskStatus[None]) -> None:
        answer(host, chat)
        task_status.started()
        await sleep_forever()

    return instance(load(replace(MURMUR, run=run)))
