"""What a stranger's package does once it is installed: ``python third_party.py FOLDER``, where skywire and it are.

Nothing of this project but what is installed is used. The package's app is run by a visor in each way there is, a
peer calls each, and the list shows all of them; then the app runs alone, and is called there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from skywire import Address, HostPort, Owner, PkTcpNetwork, PubKey, SecKey, embedded
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.dmsg.network import DmsgNetwork
from skywire.http.server import HttpServer
from skywire.net.background import Background
from skywire.net.errors import DialError

LIMIT = 60.0
"""Seconds for all of it."""
ISOLATIONS = ("in-process", "child", "attached")
FIRST_PORT = 4000


@asynccontextmanager
async def program(environment: Mapping[str, str], *words: str, name: str = "skywire") -> AsyncIterator[Process]:
    """Run a program while the block runs."""
    path = str(Path(sys.executable).parent / name)
    async with await anyio.open_process([path, *words], env=environment, stderr=None) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def output(environment: Mapping[str, str], *words: str) -> bytes:
    """What ``skywire`` writes."""
    path = str(Path(sys.executable).parent / "skywire")
    return (await anyio.run_process([path, *words], env=environment, stderr=None)).stdout


async def greeting(peer: DmsgNetwork, key: PubKey, port: int) -> bytes:
    """What the app says, once it can be reached."""
    while True:
        try:
            async with await peer.dial(Address("dmsg", key, port), owner=Owner("check")) as conn:
                return await conn.receive()
        except (DialError, anyio.EndOfStream):
            await anyio.sleep(0.1)


def configure(folder: Path, identity: SecKey, discovery: str) -> Path:
    """Write the configuration of a visor that runs the app three times."""
    rows = [
        {"name": f"hello-{how}", "app": "hello", "auto_start": True, "port": FIRST_PORT + number, "isolation": how}
        for number, how in enumerate(ISOLATIONS)
    ]
    tree = {
        "sk": identity.expose_hex(),
        "dmsg": {"discovery": discovery, "sessions_count": 1},
        "launcher": {"apps": rows},
    }
    path = folder / "skywire-config.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(tree))
    return path


async def check(folder: Path) -> None:
    """All of it."""
    environment = {**os.environ, "SKYWIRE_RUNTIME_DIR": str(folder / "run")}
    async with embedded.start() as network, Background() as tasks, network.client() as peer:
        server = HttpServer(DiscoveryApp(network.directory), listen=[HostPort("127.0.0.1", 0)])
        await tasks.start(server.serve)
        identity = SecKey.generate()
        config = configure(folder, identity, f"http://{server.addresses[0]}")
        async with program(environment, "visor", "-c", str(config)) as visor:
            assert visor.stdout is not None
            await BufferedByteReceiveStream(visor.stdout).receive_until(b"\n", 1000)
            async with program(environment, "app", "attach", "hello-attached") as attached:
                for number, how in enumerate(ISOLATIONS):
                    said = await greeting(peer, identity.public, FIRST_PORT + number)
                    assert said == f"Hello, {peer.public}!\n".encode(), said
                    print(f"hello {how} ok")
                listed = json.loads(await output(environment, "app", "ls", "--json"))["apps"]
                found = {each["name"]: each["isolation"] for each in listed}
                assert {f"hello-{how}": how for how in ISOLATIONS}.items() <= found.items(), found
                print((await output(environment, "app", "ls")).decode())
                visor.terminate()
                assert await visor.wait() == 0
                await attached.wait()
        await check_alone({**environment, "SKYWIRE_DMSG_DISC": f"http://{server.addresses[0]}"}, folder, peer)


async def check_alone(environment: Mapping[str, str], folder: Path, peer: DmsgNetwork) -> None:
    """The app without a visor, on either network."""
    for name in ("dmsg", "standalone"):
        words = ("hello", "--data", str(folder / name), "--json")
        async with program(environment, *words, name=name) as alone:
            assert alone.stdout is not None
            facts = json.loads(await BufferedByteReceiveStream(alone.stdout).receive_until(b"\n", 1000))
            (address,) = map(Address.parse, facts["addresses"])
            if name == "dmsg":
                said = await greeting(peer, address.pk, address.port)
            else:
                async with await PkTcpNetwork(SecKey.generate()).dial(address, owner=Owner("check")) as conn:
                    said = await conn.receive()
            assert said.startswith(b"Hello, "), said
            print(f"hello {facts['mode']} ok")
            alone.terminate()
            assert await alone.wait() == 0


async def main(folder: Path) -> None:
    with anyio.fail_after(LIMIT):
        await check(folder)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
