"""Clients that send anything: whatever comes of it stays with their own sessions."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from anyio import BrokenResourceError, EndOfStream, create_task_group, move_on_after

from skywire import SecKey
from skywire.dmsg.relay.relay import Relay
from skywire.wire.yamux.frame import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.dmsg.raw_client import ALICE, BOB, MALLORY, TRUDY, RawPeer, accepted, refused, request
from tests.dmsg.relaying import attacked_relay
from tests.pktcp.attacker import until
from tests.wire.yamux_link import data_frame, syn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

ROUNDS = int(os.environ.get("DMSG_FUZZ_ROUNDS", "25"))
"""Pairs of attackers one after the other; the long form is for instance DMSG_FUZZ_ROUNDS=2000."""
STEPS = 60
KINDS = (DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, PING, GO_AWAY)
FLAGS = (0, 0, 0, SYN, ACK, FIN, RST, SYN | FIN, SYN | RST, ACK | FIN, SYN | ACK | FIN | RST, 0xFFF0)


class Attacker:
    """A client whose every step is drawn; most obey the rules, so that it comes far."""

    def __init__(self, peer: RawPeer, identity: SecKey, others: list[SecKey], dice: random.Random) -> None:
        self._peer = peer
        self._identity = identity
        self._others = others
        self._dice = dice
        self._streams: list[int] = [1]
        self._steps: tuple[Callable[[], bytes], ...] = (
            *[self.ask] * 5,
            *[self.talk] * 5,
            *[self.end] * 2,
            self.begin,
            self.nonsense,
        )

    async def run(self) -> None:
        """Act until the session is over or all steps are made."""
        dice = self._dice
        with suppress(EndOfStream, BrokenResourceError):
            for _ in range(STEPS):
                data = dice.choice(self._steps)()
                if dice.random() < 0.01:
                    data = data[: dice.randrange(len(data) + 1)]
                    await self._peer.send(data, dice.randbytes(dice.randrange(30)))
                else:
                    await self._peer.send(data)
                with move_on_after(0.001):
                    await self.listen()

    async def listen(self) -> None:
        """Answer a stream that is offered."""
        peer = self._peer
        stream_id = await peer.offered()
        self._streams.append(stream_id)
        if self._dice.random() < 0.8:
            signed = await peer.signed(stream_id)
            answer = accepted(self._identity, signed) if self._dice.random() < 0.8 else refused(ALICE, signed, 306)
            await peer.send_data(stream_id, peer.seal.seal(answer) + self._dice.randbytes(5))

    def ask(self) -> bytes:
        """A good request to somebody."""
        stream_id = self._peer.new_id()
        self._streams.append(stream_id)
        sealed = self._peer.seal.seal(request(self._identity, self._dice.choice(self._others).public))
        return syn(stream_id) + data_frame(stream_id, sealed + self._dice.randbytes(self._dice.choice([0, 3, 3000])))

    def begin(self) -> bytes:
        """The beginning of a request."""
        stream_id = self._peer.new_id()
        self._streams.append(stream_id)
        sealed = self._peer.seal.seal(request(self._identity, self._identity.public))
        return syn(stream_id) + data_frame(stream_id, sealed[: self._dice.randrange(len(sealed))])

    def talk(self) -> bytes:
        """Bytes on a stream."""
        return data_frame(self._dice.choice(self._streams), self._dice.randbytes(self._dice.choice([0, 1, 50, 20_000])))

    def end(self) -> bytes:
        """The end of a stream, one way or the other."""
        return encode_header(WINDOW_UPDATE | self._dice.choice([FIN, RST]), self._dice.choice(self._streams), 0)

    def nonsense(self) -> bytes:
        """A header with anything in it; now and then more."""
        dice = self._dice
        if dice.random() < 0.1:
            return dice.randbytes(dice.randrange(40))
        stream_id = dice.choice([0, 1, 2, 3, 2**32 - 1, dice.choice(self._streams), dice.choice(self._streams)])
        length = dice.choice([0, 0, 0, 1, 5, 262144, 2**31, 2**32 - 1])
        return encode_header(dice.choice(KINDS) | dice.choice(FLAGS), stream_id, length)


async def attack(relay: Relay, identity: SecKey, others: list[SecKey], seed: str) -> None:
    async with await RawPeer.connect(relay, identity) as peer:
        await Attacker(peer, identity, others, random.Random(seed)).run()


async def test_anything() -> None:
    """Two attackers at a time, who talk to each other, to themselves and to the honest pair."""
    async with attacked_relay() as attacked:
        stats = attacked.relay.stats
        for number in range(ROUNDS):
            async with create_task_group() as task_group:
                others = [MALLORY, TRUDY, MALLORY, TRUDY, BOB]
                task_group.start_soon(attack, attacked.relay, MALLORY, others, f"mallory {number}")
                task_group.start_soon(attack, attacked.relay, TRUDY, others, f"trudy {number}")
            await until(lambda: stats.sessions == 2)
            await until(lambda: stats.streams == 1)
            await attacked.talks()
            switch = attacked.relay._switch
            assert not switch._introductions, number
            assert len(switch._sessions) == 2
        assert stats.streams_made > ROUNDS // 5  # how many get so far is up to the event loop
        assert set(stats.streams_refused) > {"NetworkError", "306", "307"}
