"""The XK handshake over a byte stream, as sessions and key-encrypted TCP begin.

Each message is a frame. The initiator offers the post-quantum extension, a responder that is offered it answers.
Source: upstream-2026.md section 2.2 and 3.2 row 2, protocol-dmsg.md section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from skywire.keys import PubKey, SecKey
from skywire.net.errors import HandshakeAborted
from skywire.net.postquantum import Offer, answer_offer, final_keys
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.records import MAX_RECORD_BODY, PREFIX_SIZE, frame, split_frame

_READ_SIZE: Final = PREFIX_SIZE + MAX_RECORD_BODY
"""Bytes to ask for at a time during a handshake; so no more than two frames are ever held."""


@dataclass(frozen=True, slots=True)
class Secured:
    """What a finished handshake gives.

    Args:
        keys: of the transport phase.
        peer: the proven key of the other end.
        received: bytes that came behind the last message.
        post_quantum: whether the keys also depend on a post-quantum secret.
    """

    keys: TransportKeys
    peer: PubKey
    received: bytes
    post_quantum: bool


class _Frames:
    """Reads and writes whole frames on a stream, and keeps what comes behind them."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.received = b""

    async def read(self) -> bytes:
        while (cut := split_frame(self.received)) is None:
            try:
                self.received += await self._stream.receive(_READ_SIZE)
            except EndOfStream:
                raise HandshakeAborted("the peer closed the connection during the handshake") from None
            except BrokenResourceError as error:
                raise HandshakeAborted("the connection broke during the handshake") from error
        message, self.received = cut
        return message

    async def write(self, message: bytes) -> None:
        try:
            await self._stream.send(frame(message))
        except BrokenResourceError as error:
            raise HandshakeAborted("the connection broke during the handshake") from error


async def initiate(stream: ByteStream, identity: SecKey, peer: PubKey) -> Secured:
    """Prove ``identity``, and have ``peer`` proven.

    The caller limits the time, and closes the stream on any failure.

    Raises:
        HandshakeAborted: the other end closed, as it does when we want a key that it does not hold.
        ProtocolError: its answer breaks the rules.
        AuthenticationError: its answer was made by another key.
    """
    frames = _Frames(stream)
    handshake = Handshake(Pattern.XK, Role.INITIATOR, static=identity, ephemeral=SecKey.generate, remote_static=peer)
    offer = Offer()
    await frames.write(handshake.write_message(offer.payload))
    secret = offer.secret(handshake.read_message(await frames.read()))
    await frames.write(handshake.write_message())
    return Secured(final_keys(handshake, secret), peer, frames.received, secret is not None)


async def respond(stream: ByteStream, identity: SecKey) -> Secured:
    """Prove ``identity`` to whoever knows its public key, and learn who that is.

    The caller limits the time, and closes the stream on any failure.

    Raises:
        HandshakeAborted: the other end closed.
        ProtocolError: its messages break the rules.
        AuthenticationError: it wants another key, or does not hold its own.
    """
    frames = _Frames(stream)
    handshake = Handshake(Pattern.XK, Role.RESPONDER, static=identity, ephemeral=SecKey.generate)
    secret, answer = answer_offer(handshake.read_message(await frames.read()))
    await frames.write(handshake.write_message(answer))
    handshake.read_message(await frames.read())
    peer = handshake.remote_static
    assert peer is not None, "message 3 of XK delivers it"
    return Secured(final_keys(handshake, secret), peer, frames.received, secret is not None)
