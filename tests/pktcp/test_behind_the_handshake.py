"""What comes behind the handshake: the first bytes, and how a stream breaks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from anyio import (
    ClosedResourceError,
    sleep_forever,
)

from skywire import (
    AuthenticationError,
    Conn,
    PkTcpNetwork,
    ProtocolError,
    StreamBroken,
)
from skywire.wire.noise import TransportKeys
from skywire.wire.records import frame
from tests.pktcp.attacker import (
    HONEST,
    ME,
    ROGUE,
    SERVER,
    Attack,
    opened,
    record,
    target,
)
from tests.pktcp.peers import LOOPBACK, Responder, answering, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("split", [0, 1, 30, 60, 1000])
async def test_bytes_behind_message_3_are_kept(split: int) -> None:
    async with target() as attacked, (attack := await attacked.connect()).stream:
        handshake = await attack.until_message_3(ROGUE)
        data = frame(handshake.write_message())
        keys = handshake.transport_keys()
        data += record(keys.send, 1, b"first") + record(keys.send, 2, b"second")
        await attack.send(data[: 67 + split])
        await attack.send(data[67 + split :])
        assert opened(keys.receive, await attack.receive_frame()) == b"first"
        assert opened(keys.receive, await attack.receive_frame()) == b"second"


@dataclass(frozen=True)
class Ending:
    """What a peer sends last, behind a good record."""

    data: Callable[[TransportKeys], bytes]
    cause: type[Exception] | None
    reset: bool = False


ENDINGS = {
    "half a record": Ending(lambda keys: record(keys.send, 2, b"cut off")[:-1], None),
    "half a length": Ending(lambda _: b"\x00", None),
    "forged": Ending(lambda keys: record(keys.receive, 2, b"forged"), AuthenticationError),
    "replayed": Ending(lambda keys: record(keys.send, 1, b"good"), ProtocolError),
    "too long": Ending(lambda _: b"\x0f\xff", ProtocolError),
    "too short": Ending(lambda _: b"\x00\x17", ProtocolError),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("by_record", [False, True], ids=["bytes", "records"])
async def test_a_broken_stream_gives_what_was_good_and_then_says_why(ending: Ending, by_record: bool) -> None:
    async def serve(attack: Attack) -> None:
        keys = await Responder().shake_hands(attack)
        await attack.send(record(keys.send, 1, b"good"), ending.data(keys))

    async with answering(serve) as address, await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        assert await (conn.receive_record() if by_record else conn.receive()) == b"good"
        for _ in range(2):
            with pytest.raises(StreamBroken, match=str(SERVER.public)) as caught:
                await (conn.receive_record() if by_record else conn.receive())
            assert type(caught.value.__cause__) is (ending.cause or type(None))


async def test_a_closed_connection_gives_nothing_that_it_still_holds() -> None:
    async def two(conn: Conn) -> None:
        await conn.send(b"a" * 5000)
        await sleep_forever()

    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK]), two) as network:
        conn = await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME)
        assert await conn.receive(1) == b"a"
        await conn.aclose()
        for receive in (conn.receive, conn.receive_record):
            with pytest.raises(ClosedResourceError):
                await receive()


@pytest.mark.parametrize("closed", [False, True], ids=["reset", "closed"])
async def test_ending_a_direction_of_what_is_no_more(closed: bool) -> None:
    async def serve(attack: Attack) -> None:
        await Responder().shake_hands(attack)
        await attack.reset()

    async with answering(serve) as address, await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        with pytest.raises(StreamBroken):
            await conn.receive()
        if closed:
            await conn.aclose()
        with suppress(StreamBroken, ClosedResourceError):
            await conn.send_eof()
