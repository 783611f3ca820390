"""How the two ends of a dmsg stream prove their keys to each other, through a relay that cannot read on.

Source: protocol-dmsg.md section 4.1 and 4.4.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import Final

from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from skywire.dmsg.errors import SessionOver
from skywire.dmsg.limits import MAX_OBJECT
from skywire.dmsg.objects import ObjectSeal
from skywire.keys import PubKey, SecKey
from skywire.net.errors import HandshakeAborted
from skywire.net.postquantum import Offer, answer_offer, final_keys
from skywire.wire.dmsg_errors import DmsgError, ErrorCode
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.objects import DmsgAddr, SignedObject, StreamRequest, StreamResponse

_READ_SIZE: Final = MAX_OBJECT
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IP_INFO_PORT: Final = 1
"""The port that a look-up of the own address names; it only must not be 0."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a finished handshake gives.

    Args:
        keys: of the records that follow.
        received: what already came behind the handshake.
        post_quantum: whether the keys also depend on a post-quantum secret.
    """

    keys: TransportKeys
    received: bytes
    post_quantum: bool


async def request_stream(
    stream: ByteStream, seal: ObjectSeal, identity: SecKey, source_port: int, peer: PubKey, port: int
) -> Agreed:
    """The initiator's side. The caller limits the time, and closes the stream on any failure.

    Raises:
        HandshakeAborted: the stream was ended instead of an answer.
        SessionOver: the session broke.
        ProtocolError: the answer breaks the rules; a DmsgError has upstream's code.
        AuthenticationError: it was made by someone else.
    """
    handshake = Handshake(Pattern.KK, Role.INITIATOR, static=identity, ephemeral=SecKey.generate, remote_static=peer)
    offer = Offer()
    request = StreamRequest(
        time.time_ns(),
        DmsgAddr(identity.public, source_port),
        DmsgAddr(peer, port),
        noise_message=handshake.write_message(offer.payload),
    )
    response, received = await _ask(stream, seal, SignedObject.make(identity, request.encode()), peer)
    secret = offer.secret(handshake.read_message(response.noise_message))
    return Agreed(final_keys(handshake, secret), received, secret is not None)


async def request_ip(
    stream: ByteStream, seal: ObjectSeal, identity: SecKey, source_port: int, server: PubKey
) -> IPAddress:
    """Ask a server from which address it sees us.

    Raises: see :func:`request_stream`.
    """
    request = StreamRequest(
        time.time_ns(), DmsgAddr(identity.public, source_port), DmsgAddr(server, IP_INFO_PORT), ip_info=True
    )
    response, _ = await _ask(stream, seal, SignedObject.make(identity, request.encode()), server)
    try:
        address = ipaddress.ip_address(response.ip)
    except ValueError:
        raise DmsgError(ErrorCode.REJECTED, f"an address of {len(response.ip)} bytes is none") from None
    return getattr(address, "ipv4_mapped", None) or address


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came in, verified.

    Args:
        signed: as received.
        request: what it says.
        received: what already came behind it.
    """

    signed: SignedObject
    request: StreamRequest
    received: bytes

    @property
    def peer(self) -> PubKey:
        """Who asks."""
        peer = self.request.source.pk
        assert peer is not None, "a request without it is refused"
        return peer


async def read_request(stream: ByteStream, seal: ObjectSeal, own_key: PubKey) -> Asked:
    """The first half of the responder's side. The caller limits the time, and closes the stream on any failure.

    Raises:
        HandshakeAborted: the stream was ended instead.
        SessionOver: the session broke.
        ProtocolError: the request breaks the rules; a DmsgError has upstream's code.
    """
    signed, received = await _read_object(stream, seal)
    request = StreamRequest.open(signed)
    request.require_destination(own_key)
    return Asked(signed, request, received)


async def accept_request(stream: ByteStream, seal: ObjectSeal, identity: SecKey, asked: Asked) -> Agreed:
    """The second half: prove both keys, and let the peer know.

    Raises:
        SessionOver: the session broke.
        ProtocolError: the peer's handshake message breaks the rules.
        AuthenticationError: it was made by someone else.
    """
    handshake = Handshake(
        Pattern.KK, Role.RESPONDER, static=identity, ephemeral=SecKey.generate, remote_static=asked.peer
    )
    secret, answer = answer_offer(handshake.read_message(asked.request.noise_message))
    response = StreamResponse(asked.signed.hash, accepted=True, noise_message=handshake.write_message(answer))
    await _send(stream, seal.seal(SignedObject.make(identity, response.encode())))
    return Agreed(final_keys(handshake, secret), asked.received, secret is not None)


async def reject_request(stream: ByteStream, seal: ObjectSeal, identity: SecKey, asked: Asked, code: ErrorCode) -> None:
    """The other second half: say why not. A relay of before 2026 keeps that to itself.

    Raises:
        SessionOver: the session broke.
    """
    response = StreamResponse(asked.signed.hash, accepted=False, error_code=code)
    await _send(stream, seal.seal(SignedObject.make(identity, response.encode())))


async def _ask(
    stream: ByteStream, seal: ObjectSeal, request: SignedObject, signer: PubKey
) -> tuple[StreamResponse, bytes]:
    await _send(stream, seal.seal(request))
    signed, received = await _read_object(stream, seal)
    return StreamResponse.open(signed, request.hash, signer), received


async def _send(stream: ByteStream, data: bytes) -> None:
    try:
        await stream.send(data)
    except BrokenResourceError as error:
        raise SessionOver(f"the stream broke during its handshake: {error}") from error


async def _read_object(stream: ByteStream, seal: ObjectSeal) -> tuple[SignedObject, bytes]:
    received = b""
    while (opened := seal.open(received)) is None:
        try:
            received += await stream.receive(_READ_SIZE)
        except EndOfStream:
            raise HandshakeAborted("the stream was ended during its handshake") from None
        except BrokenResourceError as error:
            raise SessionOver(f"the stream broke during its handshake: {error}") from error
    return opened
