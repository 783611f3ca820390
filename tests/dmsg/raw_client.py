"""Ends of dmsg sessions made by hand: clients that attack a relay, and relays that attack clients.

Behind the handshake they speak frame by frame, so that they can break every rule.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
    aclose_forcefully,
    connect_tcp,
    fail_after,
    sleep_forever,
)
from anyio.abc import ByteStream, SocketStream

from skywire import Address, AuthenticationError, HostPort, NetworkError, PubKey, SecKey
from skywire.dmsg import DMSG
from skywire.dmsg.discovery.contract import Discovery
from skywire.dmsg.objects import ObjectSeal
from skywire.dmsg.relay import Relay
from skywire.net.background import Background
from skywire.net.handshake import Secured, initiate, respond
from skywire.net.tcp import TcpStream, listen
from skywire.wire.entry import ServerPart, server_update
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.objects import DmsgAddr, SignedObject, StreamRequest, StreamResponse
from skywire.wire.records import RecordReader, Sealer, frame, split_frame
from skywire.wire.yamux.frame import ACK, DATA, FIN, FLAG_BITS, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.wire.yamux_link import Frame, data_frame, syn

PATIENCE: Final = 10.0
"""Seconds after which a test gives up waiting for what must happen at once."""
RELAY, ALICE, BOB, MALLORY, TRUDY = (SecKey(bytes([n]) * 32) for n in (31, 32, 33, 34, 35))
"""Mallory and Trudy mean harm."""
WINDOW: Final = 262144
"""Bytes that may be sent on a stream at first."""
SOURCE_PORT: Final = 50_000
PORT: Final = 80
LOOPBACK: Final = HostPort("127.0.0.1", 0)


def fin(stream_id: int) -> bytes:
    return encode_header(WINDOW_UPDATE | FIN, stream_id, 0)


def rst(stream_id: int) -> bytes:
    return encode_header(WINDOW_UPDATE | RST, stream_id, 0)


def ack(stream_id: int) -> bytes:
    return encode_header(WINDOW_UPDATE | ACK, stream_id, 0)


def credit(stream_id: int, size: int) -> bytes:
    return encode_header(WINDOW_UPDATE, stream_id, size)


def ping(number: int) -> bytes:
    return encode_header(PING | SYN, 0, number)


def go_away(reason: int) -> bytes:
    return encode_header(GO_AWAY, 0, reason)


class RawPeer:
    """One end of a session behind its handshake.

    Frames are kept until somebody asks for them, but for acknowledgements and credit, which are booked. Nothing is
    answered but what a test answers; only :meth:`data` and :meth:`signed` give credit. One task at a time reads.
    """

    def __init__(self, stream: ByteStream, secured: Secured, *, first_id: int = 1) -> None:
        self.stream: Final = stream
        self.peer: Final = secured.peer
        self.seal: Final = ObjectSeal(secured.keys)
        self._received = secured.received
        self._frames: deque[Frame] = deque()
        self._acknowledged: set[int] = set()
        self._bodies: defaultdict[int, bytes] = defaultdict(bytes)
        self._next_id = first_id
        self._windows: defaultdict[int, int] = defaultdict(lambda: WINDOW)

    @classmethod
    async def connect(cls, relay: Relay, identity: SecKey) -> Self:
        """A session with a relay."""
        stream = await connect_to(relay)
        try:
            with fail_after(PATIENCE):
                return cls(stream, await initiate(stream, identity, relay.public))
        except BaseException:
            await aclose_forcefully(stream)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await aclose_forcefully(self.stream)

    def new_id(self) -> int:
        """The id of a stream of our own."""
        self._next_id += 2
        return self._next_id - 2

    async def send(self, *frames: bytes) -> None:
        """Send bytes, whoever still listens."""
        with fail_after(PATIENCE), suppress(BrokenResourceError, ClosedResourceError):
            await self.stream.send(b"".join(frames))

    async def send_data(self, stream_id: int, data: bytes) -> None:
        """Send bytes on a stream, whatever its window."""
        self._windows[stream_id] -= len(data)
        await self.send(data_frame(stream_id, data))

    async def pour(self, stream_id: int, size: int) -> int:
        """Send so many zeros on a stream, as its window lets them through, until it ends; gives how many were sent."""
        sent = 0
        with fail_after(PATIENCE):
            while sent < size:
                window = self._windows[stream_id]
                if window:
                    body = bytes(min(window, size - sent, 65536))
                    sent += len(body)
                    await self.send_data(stream_id, body)
                elif any(each.stream_id == stream_id and each.word & (FIN | RST) for each in self._frames):
                    break
                else:
                    await self._read()
        return sent

    async def fill(self, stream_id: int) -> int:
        """Send on a stream until nothing more is let through; gives how many bytes were sent."""
        sent = 0
        while window := self._windows[stream_id]:
            sent += await self.pour(stream_id, window)
            for number in range(2):  # answers to pings overtake other frames, but not those of an earlier answer
                await self.pong(number)
        return sent

    async def frame(self, wanted: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """The first frame that is ``wanted``; those before it are kept.

        Raises:
            EndOfStream, BrokenResourceError: the other end left before.
        """
        for each in self._frames:
            if wanted(each):
                self._frames.remove(each)
                return each
        with fail_after(PATIENCE):
            while True:
                await self._read()
                if self._frames and wanted(self._frames[-1]):
                    return self._frames.pop()

    async def _read(self) -> None:
        """Take one frame."""
        while (cut := _cut(self._received)) is None:
            self._received += await self.stream.receive(1 << 18)
        each, self._received = cut
        kind, flags = each.word & ~FLAG_BITS, each.word & FLAG_BITS
        if flags & ACK and kind < PING:
            self._acknowledged.add(each.stream_id)
        if kind == WINDOW_UPDATE:
            self._windows[each.stream_id] += each.length
        if kind != WINDOW_UPDATE or flags & ~ACK:
            self._frames.append(each)

    async def drain(self) -> list[Frame]:
        """All frames until the other end closes, cleanly or not; then close."""
        async with self:
            with fail_after(PATIENCE), suppress(EndOfStream, BrokenResourceError):
                while True:
                    await self._read()
        return list(self._frames)

    async def end_of(self, stream_id: int) -> int:
        """Wait until the other end ends a stream; gives FIN or RST. What came on it before stays readable."""
        found = await self.frame(lambda each: each.stream_id == stream_id and bool(each.word & (FIN | RST)))
        return found.word & (FIN | RST)

    async def acknowledged(self, stream_id: int) -> None:
        """Wait until the other end acknowledges a stream of ours."""
        with fail_after(PATIENCE):
            while stream_id not in self._acknowledged:
                await self._read()

    async def pong(self, number: int) -> None:
        """Ping, and wait for the answer: the other end has then handled all that was sent before."""
        await self.send(ping(number))
        await self.frame(lambda each: (each.word, each.length) == (PING | ACK, number))

    async def data(self, stream_id: int, size: int) -> bytes:
        """So many bytes that come on a stream; credited, so that more may follow."""
        while len(self._bodies[stream_id]) < size:
            await self._more(stream_id)
        data = self._bodies[stream_id]
        self._bodies[stream_id] = data[size:]
        return data[:size]

    def has_data(self, stream_id: int) -> bool:
        """Whether bytes have come on a stream that nobody has asked for."""
        return bool(self._bodies[stream_id]) or any(
            each.stream_id == stream_id and each.word & ~FLAG_BITS == DATA for each in self._frames
        )

    async def _more(self, stream_id: int) -> None:
        body = (await self.frame(lambda each: each.stream_id == stream_id and each.word & ~FLAG_BITS == DATA)).body
        self._bodies[stream_id] += body
        await self.send(credit(stream_id, len(body)))

    async def signed(self, stream_id: int) -> SignedObject:
        """The object that comes on a stream."""
        while (opened := self.seal.open(self._bodies[stream_id])) is None:
            await self._more(stream_id)
        signed, self._bodies[stream_id] = opened
        return signed

    async def offered(self) -> int:
        """The id of the next stream that the other end opens; it is accepted."""
        stream_id = (await self.frame(lambda each: bool(each.word & SYN) and each.stream_id > 0)).stream_id
        await self.send(ack(stream_id))
        return stream_id

    async def ask(self, signed: SignedObject, *, then: bytes = b"") -> int:
        """Open a stream with a request, and perhaps bytes behind it; gives the stream's id."""
        stream_id = self.new_id()
        await self.send(syn(stream_id))
        await self.send_data(stream_id, self.seal.seal(signed) + then)
        return stream_id

    async def answer(self, identity: SecKey, *, then: bytes = b"") -> tuple[int, SignedObject]:
        """Accept the next request as its responder would; gives the stream's id and the request."""
        stream_id = await self.offered()
        signed = await self.signed(stream_id)
        await self.respond(stream_id, identity, signed, then=then)
        return stream_id, signed

    async def respond(self, stream_id: int, identity: SecKey, signed: SignedObject, *, then: bytes = b"") -> None:
        """Accept a request, perhaps with bytes behind the response."""
        await self.send_data(stream_id, self.seal.seal(accepted(identity, signed)) + then)


def _cut(data: bytes) -> tuple[Frame, bytes] | None:
    if len(data) < 12:
        return None
    word, stream_id, length = (int.from_bytes(data[start : start + 4], "big") for start in (0, 4, 8))
    end = 12 + length if word & ~FLAG_BITS == DATA else 12
    if len(data) < end:
        return None
    return Frame(word, stream_id, length, data[12:end]), data[end:]


async def connect_to(relay: Relay) -> SocketStream:
    """A TCP connection to a relay, and not a byte more."""
    return await connect_tcp(relay.addresses[0].host, relay.addresses[0].port)


def request(
    source: SecKey,
    destination: PubKey | None,
    *,
    claim: PubKey | None = None,
    source_port: int = SOURCE_PORT,
    port: int = PORT,
    ip_info: bool = False,
    noise_message: bytes | None = None,
    timestamp_ns: int | None = None,
) -> SignedObject:
    """A request that ``source`` signs; good unless told otherwise.

    Args:
        claim: the key that it names as its source; that of ``source`` when None.
    """
    if noise_message is None:
        noise_message = b"" if destination is None else first_message(source, destination)
    content = StreamRequest(
        time.time_ns() if timestamp_ns is None else timestamp_ns,
        DmsgAddr(claim or source.public, source_port),
        DmsgAddr(destination, port),
        ip_info=ip_info,
        noise_message=noise_message,
    )
    return SignedObject.make(source, content.encode())


def first_message(source: SecKey, destination: PubKey) -> bytes:
    """How the handshake of a stream begins, without a post-quantum offer."""
    return Handshake(
        Pattern.KK, Role.INITIATOR, static=source, ephemeral=SecKey.generate, remote_static=destination
    ).write_message()


def accepted(identity: SecKey, signed: SignedObject, *, request_hash: bytes | None = None) -> SignedObject:
    """The response that accepts a request."""
    asked = StreamRequest.decode(signed.body)
    handshake = Handshake(
        Pattern.KK, Role.RESPONDER, static=identity, ephemeral=SecKey.generate, remote_static=asked.source.pk
    )
    handshake.read_message(asked.noise_message)
    content = StreamResponse(request_hash or signed.hash, accepted=True, noise_message=handshake.write_message())
    return SignedObject.make(identity, content.encode())


def refused(identity: SecKey, signed: SignedObject, code: int) -> SignedObject:
    """The response that turns a request down."""
    return SignedObject.make(identity, StreamResponse(signed.hash, accepted=False, error_code=code).encode())


class RawRelay:
    """What listens in place of a relay.

    Args:
        identity: its key.
        where: where it listens.
    """

    def __init__(self, identity: SecKey, where: HostPort) -> None:
        self.public: Final = identity.public
        self.where: Final = where
        self.taken = 0
        """Sessions so far."""
        self._identity = identity
        self._arrived: deque[RawPeer] = deque()
        self._arrival = Event()

    async def announce(self, discovery: Discovery, where: HostPort | None = None, *, ahead: float = 0.0) -> None:
        """Post its entry, perhaps with another address, or by a clock that is so many seconds ahead."""
        part = ServerPart(str(where or self.where), 100)
        stored = await discovery.entry(self.public)
        entry = server_update(stored, static=self.public, server=part, now_ns=time.time_ns() + int(ahead * 1e9))
        await discovery.post(entry.sign(self._identity))

    async def client(self) -> RawPeer:
        """The next session that a client makes; it lasts as long as the client and the relay do."""
        with fail_after(PATIENCE):
            while not self._arrived:
                self._arrival = Event()
                await self._arrival.wait()
        return self._arrived.popleft()

    async def receive(self, peer: RawPeer) -> None:
        """Take a session for :meth:`client`."""
        self._arrived.append(peer)
        self._arrival.set()
        await sleep_forever()


Script = Callable[[RawPeer], Awaitable[None]]
"""Serves one session, whose connection is closed when it returns, or when the client leaves."""


@asynccontextmanager
async def raw_relay(
    script: Script | None = None,
    *,
    identity: SecKey = RELAY,
    shake_hands: Callable[[ByteStream, SecKey], Awaitable[Secured]] = respond,
    where: HostPort = LOOPBACK,
) -> AsyncIterator[RawRelay]:
    """Listen while the block runs.

    Args:
        script: for each session; they go to :meth:`RawRelay.client` when None.
        identity: the key of the relay.
        shake_hands: how a session begins.
        where: where to listen.
    """
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(await listen(where.host, where.port))
        relay = RawRelay(identity, HostPort(*listener.addresses[0]))

        async def serve(stream: TcpStream) -> None:
            relay.taken += 1
            try:
                secured = await shake_hands(stream, identity)
                await (script or relay.receive)(RawPeer(stream, secured, first_id=2))
            except (EndOfStream, BrokenResourceError, ClosedResourceError, NetworkError, AuthenticationError):
                pass
            finally:
                await aclose_forcefully(stream)

        task_group = await stack.enter_async_context(Background())
        task_group.start_soon(listener.serve, serve, task_group, lambda: None)
        yield relay


async def respond_as_before(stream: ByteStream, identity: SecKey) -> Secured:
    """The responder's half of the handshake as it was before 2026."""
    handshake = Handshake(Pattern.XK, Role.RESPONDER, static=identity, ephemeral=SecKey.generate)
    received = b""

    async def read() -> bytes:
        nonlocal received
        while (cut := split_frame(received)) is None:
            received += await stream.receive()
        message, received = cut
        return message

    handshake.read_message(await read())
    await stream.send(frame(handshake.write_message()))
    handshake.read_message(await read())
    peer = handshake.remote_static
    assert peer is not None
    return Secured(handshake.transport_keys(), peer, received, post_quantum=False)


class Talk:
    """The inside of a stream: records between its two ends."""

    def __init__(self, peer: RawPeer, stream_id: int, keys: TransportKeys) -> None:
        self.stream_id: Final = stream_id
        self._peer = peer
        self._sealer = Sealer(keys.send)
        self._reader = RecordReader(keys.receive)

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        await self._peer.send_data(self.stream_id, self._sealer.seal_records(data))

    async def hear(self, size: int) -> bytes:
        """Receive so many bytes."""
        heard = b""
        while len(heard) < size:
            self._reader.feed(await self._peer.data(self.stream_id, 1))
            heard += self._reader.take(size - len(heard))
        return heard


async def dial(peer: RawPeer, source: SecKey, destination: PubKey, port: int = PORT) -> Talk:
    """Open a stream as an honest client does."""
    handshake = Handshake(
        Pattern.KK, Role.INITIATOR, static=source, ephemeral=SecKey.generate, remote_static=destination
    )
    asked = request(source, destination, port=port, noise_message=handshake.write_message())
    stream_id = await peer.ask(asked)
    response = StreamResponse.open(await peer.signed(stream_id), asked.hash, destination)
    handshake.read_message(response.noise_message)
    return Talk(peer, stream_id, handshake.transport_keys())


async def take(peer: RawPeer, identity: SecKey) -> Talk:
    """Accept the next stream as an honest client does."""
    stream_id = await peer.offered()
    signed = await peer.signed(stream_id)
    asked = StreamRequest.decode(signed.body)
    handshake = Handshake(
        Pattern.KK, Role.RESPONDER, static=identity, ephemeral=SecKey.generate, remote_static=asked.source.pk
    )
    handshake.read_message(asked.noise_message)
    content = StreamResponse(signed.hash, accepted=True, noise_message=handshake.write_message())
    await peer.send_data(stream_id, peer.seal.seal(SignedObject.make(identity, content.encode())))
    return Talk(peer, stream_id, handshake.transport_keys())


def dmsg(key: PubKey | SecKey, port: int = PORT) -> Address:
    """An address of the dmsg network."""
    return Address(DMSG, key.public if isinstance(key, SecKey) else key, port)
