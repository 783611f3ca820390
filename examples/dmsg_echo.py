"""A whole dmsg network in one program: discovery, relay, and two clients, of which one echoes what the other sends."""

from skywire import Address, Conn, Owner, SingleHandler, embedded, run, serving


async def echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def main() -> None:
    async with (
        embedded.start() as network,
        network.client() as alice,
        network.client() as bob,
        serving(alice, SingleHandler(echo, peers={bob.public})),
        await bob.dial(Address("dmsg", alice.public, 80), owner=Owner("echo")) as conn,
    ):
        await conn.send(b"hello through a relay that cannot read this")
        print(f"{conn.remote} answered: {(await conn.receive()).decode()}")


run(main)
