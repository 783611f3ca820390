"""How a stream begins: a client's request is checked and passed to the client it is for, and the response back.

Source: protocol-dmsg.md section 4.4 and 5.1.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Protocol, final

from skywire.dmsg.backlog import Backlog
from skywire.dmsg.relay.leg import Leg
from skywire.dmsg.relay.session import RelaySession
from skywire.errors import InvalidKey, NetworkError, ProtocolError, SkywireError
from skywire.keys import PUB_KEY_SIZE, PubKey, SecKey
from skywire.wire.dmsg_errors import DmsgError, ErrorCode
from skywire.wire.noise import TAG_SIZE
from skywire.wire.objects import SignedObject, StreamRequest, StreamResponse


class Clock(Protocol):
    """Limits the time of each step of an introduction."""

    def __call__(self, introduction: Introduction, *, goes_on: bool) -> None:
        """Another step begins, or (``goes_on`` is false) it is over."""
        ...


class Register(Protocol):
    """What an introduction needs to know; see :class:`skywire.dmsg.relay.switch.Switch`."""

    def session_of(self, client: PubKey) -> RelaySession | None:
        """The session of a client."""
        ...

    def stream_succeeded(self) -> None:
        """A stream is relayed, or a look-up was answered."""
        ...

    def stream_failed(self, error: SkywireError) -> None:
        """An introduction came to nothing."""
        ...

    def stream_over(self) -> None:
        """A relayed stream has ended."""
        ...


@final
class Introduction:
    """The beginning of one stream; the user of the initiator's stream until it is relayed.

    A request that fails ends the initiator's stream at once, so that nobody has to wait for a time-out.

    Args:
        identity: the relay's key.
        register: knows the sessions, and counts.
        session: of the initiator.
        stream_id: of its stream.
        restart_clock: is told of each step.
    """

    __slots__ = (
        "_early",
        "_identity",
        "_initiator",
        "_over",
        "_received",
        "_register",
        "_responder",
        "_restart_clock",
        "_stream_id",
    )

    def __init__(
        self,
        identity: SecKey,
        register: Register,
        session: RelaySession,
        stream_id: int,
        restart_clock: Clock,
    ) -> None:
        self._identity = identity
        self._register = register
        self._initiator = session
        self._stream_id = stream_id
        self._restart_clock = restart_clock
        self._received = b""
        self._early = Backlog()  # the initiator's first bytes for its peer
        self._responder: _Responder | None = None
        self._over = False
        restart_clock(self, goes_on=True)

    def data_received(self, data: bytes) -> None:
        """See :class:`skywire.dmsg.relay.session.StreamUser`."""
        if self._responder is not None:
            self._early.append(data)
            return
        self._received += data
        try:
            opened = self._initiator.seal.open(self._received)
            if opened is not None:
                signed, rest = opened
                self._initiator.consumed(self._stream_id, len(self._received) - len(rest))
                if rest:
                    self._early.append(rest)
                self._take(signed)
        except ProtocolError as error:
            self.fail(error)

    def writable(self) -> None:
        """See :class:`skywire.dmsg.relay.session.StreamUser`."""

    def ended(self, *, broken: bool) -> None:
        """See :class:`skywire.dmsg.relay.session.StreamUser`."""
        self.fail(NetworkError("the initiator left"))

    def fail(self, error: SkywireError) -> None:
        """Give up."""
        if self._over:
            return
        self._conclude()
        self._register.stream_failed(error)
        self._initiator.finish(self._stream_id)
        if self._responder is not None:
            self._responder.session.finish(self._responder.stream_id)

    def _conclude(self) -> None:
        self._over = True
        self._restart_clock(self, goes_on=False)

    def _take(self, signed: SignedObject) -> None:
        """Act on a request.

        Raises:
            ProtocolError: it breaks the rules, or cannot be passed on.
        """
        request = StreamRequest.open(signed)
        request.require_source(self._initiator.peer)
        destination = request.destination.pk
        if request.ip_info and destination == self._identity.public:
            self._answer_ip(signed)
            return
        _require_point(request.noise_message)
        target = None if destination is None else self._register.session_of(destination)
        if target is None:
            raise DmsgError(ErrorCode.NO_NEXT_SESSION)
        responder = _Responder(target, self, signed.hash)
        stream_id = target.open(responder)
        if stream_id is None:
            raise DmsgError(ErrorCode.NO_NEXT_SESSION, "the peer has too many streams")
        responder.stream_id = stream_id
        self._responder = responder
        self._restart_clock(self, goes_on=True)
        target.send_object(stream_id, signed)

    def _answer_ip(self, signed: SignedObject) -> None:
        response = StreamResponse(signed.hash, accepted=True, ip=ipaddress.ip_address(self._initiator.host).packed)
        self._conclude()
        self._initiator.send_object(self._stream_id, SignedObject.make(self._identity, response.encode()))
        self._register.stream_succeeded()
        self._register.stream_over()
        self._initiator.finish(self._stream_id)

    def responded(self, signed: SignedObject, received: bytes) -> None:
        """The responder's answer is there.

        Args:
            signed: the answer.
            received: what came behind it.

        Raises:
            ProtocolError: it breaks the rules.
        """
        responder = self._responder
        assert responder is not None, "only a responder responds"
        response = StreamResponse.verify(signed, responder.request_hash, responder.session.peer)
        self._initiator.send_object(self._stream_id, signed)
        if not response.accepted:
            # Signed by the responder, so the initiator learns the true reason.
            self.fail(DmsgError(ErrorCode.REJECTED))
            return
        self._conclude()
        self._register.stream_succeeded()
        over = self._register.stream_over
        early = Backlog()
        if received:
            early.append(received)
        initiator = Leg(self._initiator, self._stream_id, self._early, over)
        initiator.join(Leg(responder.session, responder.stream_id, early, over))


@final
class _Responder:
    """The user of the responder's stream until it is relayed."""

    __slots__ = ("_introduction", "_received", "request_hash", "session", "stream_id")

    def __init__(self, session: RelaySession, introduction: Introduction, request_hash: bytes) -> None:
        self.session: Final = session
        self.stream_id = 0
        self.request_hash: Final = request_hash
        self._introduction = introduction
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            opened = self.session.seal.open(self._received)
            if opened is not None:
                signed, rest = opened
                self.session.consumed(self.stream_id, len(self._received) - len(rest))
                self._introduction.responded(signed, rest)
        except ProtocolError as error:
            self._introduction.fail(error)

    def writable(self) -> None:
        pass

    def ended(self, *, broken: bool) -> None:
        self._introduction.fail(DmsgError(ErrorCode.NO_LISTENER))


def _require_point(noise_message: bytes) -> None:
    """Never pass on a handshake message that could end a Go peer (protocol-dmsg.md section 8.2).

    Raises:
        DmsgError: it is too short, or does not begin with a point of the curve.
    """
    if len(noise_message) < PUB_KEY_SIZE + TAG_SIZE:
        raise DmsgError(ErrorCode.SIGNED_OBJECT, "its handshake message is too short")
    try:
        PubKey(noise_message[:PUB_KEY_SIZE])
    except InvalidKey as error:
        raise DmsgError(ErrorCode.SIGNED_OBJECT, str(error)) from None
