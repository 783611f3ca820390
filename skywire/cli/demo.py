"""The command ``demo``: a private network on this machine, in one process, in which two visors chat."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, final

from cyclopts import Parameter

from skywire import SecKey, runtime
from skywire.cli.program import Json
from skywire.cli.service import Leaving
from skywire.errors import SkywireError

if TYPE_CHECKING:  # loaded when it is run
    from skywire.app.catalogue import Catalogue
    from skywire.app.record import InstanceConfig
    from skywire.embedded import Deployment
    from skywire.visor.visor import Visor

NAMES: Final = ("alice", "bob")
CHAT: Final = "skychat"
APPS: Final = (CHAT, "log-server")
"""What each of the two runs."""
PATIENCE: Final = 20.0
"""Seconds for each step; it takes a fraction of one."""
END_SECONDS: Final = 10.0


class DemoFailed(SkywireError):
    """A step did not come to its end; the text says which."""


def demo(
    *,
    keep: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """See what this is: a private network, and two visors that chat over it.

    A discovery, a relay and the visors alice and bob run in this one process, on loopback. Nothing of them is left
    behind, and nobody else is asked for anything.

    Parameters
    ----------
    keep:
        Leave it running until Ctrl-C, and tell the addresses of the pages.
    """
    os.umask(0o077)
    logging.basicConfig(handlers=[logging.NullHandler()])  # what goes on is told by the steps, and in the logs of apps
    logging.getLogger("skywire").setLevel(logging.INFO)
    with TemporaryDirectory(prefix="skywire-demo-") as folder:
        runtime.run(_Demo(Path(folder), keep=keep, as_json=as_json).run)


@final
@dataclass
class _Demo:
    folder: Path
    keep: bool
    as_json: bool
    began: float = field(default_factory=time.perf_counter)
    steps: list[Mapping[str, object]] = field(default_factory=list)

    async def run(self) -> None:
        """Play it to its end, or to that of the process."""
        from anyio import Event

        from skywire import embedded

        async with Leaving(END_SECONDS) as leaving, embedded.start() as network:
            (relay,) = network.relays
            self.tell(f"a discovery and a relay run: {relay.public} at {relay.addresses[0]}")
            async with self.visors(network) as visors:
                await self.chat(visors)
                if self.as_json:
                    await self.show_json(visors)
                else:
                    await self.show(visors)
                if self.keep:
                    await leaving.told(Event())

    @asynccontextmanager
    async def visors(self, network: Deployment) -> AsyncIterator[Mapping[str, Visor]]:
        """Two visors with their apps, each of which may write to the other."""
        from skywire.app.catalogue import Catalogue
        from skywire.apps import BUILT_IN
        from skywire.control.local import runtime_folder
        from skywire.visor.blueprint import Blueprint
        from skywire.visor.visor import running

        catalogue = Catalogue(BUILT_IN, [])
        identities = {name: SecKey.generate() for name in NAMES}
        keys = [str(identity.public) for identity in identities.values()]
        async with AsyncExitStack() as stack:
            found: dict[str, Visor] = {}
            for name, identity in identities.items():
                blueprint = Blueprint(
                    identity=identity,
                    discovery=network.discovery,
                    local_path=self.folder / name,
                    catalogue=catalogue,
                    instances={each: _instance(catalogue, each, keys) for each in APPS},
                    sockets=runtime_folder() if self.keep else None,
                )
                found[name] = await stack.enter_async_context(running(blueprint))
            for name, node in found.items():
                await _until_online(node)
                for app in APPS:
                    await _until_running(node, app)
                self.tell(f"{name} is on the network, reached by its key alone: {node.public}")
            yield found

    async def chat(self, visors: Mapping[str, Visor]) -> None:
        """A message each way."""
        (alice, one), (bob, other) = visors.items()
        await self.say(alice, one, bob, other, f"Hello {bob}! The relay between us cannot read this.")
        await self.say(bob, other, alice, one, f"Hello {alice}! It only knows that we talk.")

    async def say(self, name: str, node: Visor, other_name: str, other: Visor, text: str) -> None:
        """Send a message, and find it at the other side."""
        arguments = {"peer": str(other.public), "text": text, "wait": PATIENCE}
        sent = await node.api.apps.app_call(CHAT, "send", arguments)
        there = await other.api.apps.app_call(CHAT, "history", {"peer": str(node.public)})
        if not (isinstance(sent, dict) and sent["acked"] and isinstance(there, dict)):
            raise DemoFailed(f"the message of {name} has not come to {other_name}")
        came = there["messages"][-1]["text"]
        self.tell(f"{name} to {other_name}: {came} (there, and known to be, after {sent['ms']:.1f} ms)")

    def tell(self, text: str) -> None:
        """A step is done."""
        seconds = time.perf_counter() - self.began
        self.steps.append({"seconds": round(seconds, 4), "text": text})
        if not self.as_json:
            print(f"{seconds:6.2f} s  {text}", flush=True)

    async def show(self, visors: Mapping[str, Visor]) -> None:
        """The table of all apps, and where their pages are."""
        from skywire.cli.control.instance import ports
        from skywire.cli.control.tables import STATE_STYLES, Column, show_table, text

        rows = [
            [text(name, "bold"), text(info.name), text(info.state.value, STATE_STYLES[info.state]), text(ports(info))]
            for name, node in visors.items()
            for info in await node.api.apps.list()
        ]
        print()
        show_table([Column("visor"), Column("app"), Column("state"), Column("port")], rows, empty="")
        print()
        if self.keep:
            print("Their pages, for a browser on this machine; each address is good once:")
            for name, app, url in await _pages(visors):
                print(f"  {name:8}{app:12}{url}")
            print("In another terminal: skywire app ls. Ctrl-C ends all of it.", flush=True)
        else:
            print("With --keep it stays, and tells the addresses of its pages.", flush=True)

    async def show_json(self, visors: Mapping[str, Visor]) -> None:
        """The same for programs."""
        nodes = {
            name: {
                "public_key": str(node.public),
                "apps": {info.name: info.state.value for info in await node.api.apps.list()},
                "pages": {app: url for owner, app, url in await _pages(visors) if owner == name} if self.keep else {},
            }
            for name, node in visors.items()
        }
        print(json.dumps({"steps": self.steps, "visors": nodes}), flush=True)


def _instance(catalogue: Catalogue, name: str, keys: Sequence[str]) -> InstanceConfig:
    """An app whose page is at any port, since there are two of each, and which is for these keys."""
    from skywire.app.options import decode
    from skywire.app.record import InstanceConfig

    loaded = catalogue.get(name)
    options = decode(loaded.options, {"allow": keys, "local": "127.0.0.1:0"})
    return InstanceConfig(name=name, app=loaded.bind(options))


async def _until_online(node: Visor) -> None:
    from anyio import Event, fail_after

    from skywire.app.facility import DMSG

    online = Event()

    def look() -> None:
        if node.facilities.presence()[DMSG.name].offline is None:
            online.set()

    node.facilities.watch(look)
    look()
    try:
        with fail_after(PATIENCE):
            await online.wait()
    except TimeoutError:
        offline = node.facilities.presence()[DMSG.name].offline
        raise DemoFailed(f"a visor does not reach the network of this machine: {offline}") from None


async def _until_running(node: Visor, name: str) -> None:
    from skywire.app.status import State

    info = await node.api.apps.start(name)
    if info.state not in {State.RUNNING, State.DEGRADED}:
        raise DemoFailed(f"{name} is {info.state}: {info.reason}")


async def _pages(visors: Mapping[str, Visor]) -> list[tuple[str, str, str]]:
    """Of each visor and app."""
    return [
        (name, app, str(await node.api.apps.app_call(app, "page"))) for name, node in visors.items() for app in APPS
    ]
