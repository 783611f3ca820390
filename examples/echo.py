"""Two peers in one program: one echoes over key-encrypted TCP, the other dials it by public key."""

from skywire import Conn, HostPort, Owner, PkTcpNetwork, SecKey, SingleHandler, run, serving


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def main() -> None:
    alice, bob = SecKey.generate(), SecKey.generate()
    server = PkTcpNetwork(alice, listen=[HostPort("127.0.0.1", 0)])
    async with (
        serving(server, SingleHandler(echo, peers={bob.public})),
        await PkTcpNetwork(bob).dial(server.addresses[0], owner=Owner("echo")) as conn,
    ):
        await conn.send(b"hello over an encrypted connection")
        print(f"{conn.remote} answered: {(await conn.receive()).decode()}")


run(main)
