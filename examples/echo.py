"""Two peers in one program: one echoes over key-encrypted TCP, the other dials it by public key."""

import anyio

from skywire import Conn, HostPort, Owner, PkTcpNetwork, SecKey, SingleHandler, run


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def main() -> None:
    alice, bob = SecKey.generate(), SecKey.generate()
    server = PkTcpNetwork(alice, listen=[HostPort("127.0.0.1", 0)])
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, SingleHandler(echo, peers={bob.public}))
        async with await PkTcpNetwork(bob).dial(server.addresses[0], owner=Owner("echo")) as conn:
            await conn.send(b"hello over an encrypted connection")
            print(f"{conn.remote} answered: {(await conn.receive()).decode()}")
        tasks.cancel_scope.cancel()


run(main)
