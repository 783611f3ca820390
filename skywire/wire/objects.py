"""The signed objects that open a dmsg stream: addresses, request and response.

Source: protocol-dmsg.md section 3.3 and 4.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Self, final

from skywire.errors import InvalidAddress, InvalidKey, LocalProtocolError
from skywire.keys import DIGEST_SIZE, SIGNATURE_SIZE, PubKey, SecKey, Signature
from skywire.wire.dmsg_errors import DmsgError, ErrorCode
from skywire.wire.gob import (
    BOOL,
    BYTES,
    INT,
    UINT,
    Array,
    Codec,
    Field,
    GobError,
    GobValue,
    Opaque,
    Struct,
)
from skywire.wire.records import MAX_OBJECT_BODY, SEAL_SIZE

MAX_SIGNED_OBJECT: Final = MAX_OBJECT_BODY - SEAL_SIZE
"""Bytes of the largest signed object that still fits into its frame once it is sealed: 65511."""
MAX_PORT: Final = 0xFFFF
"""Highest port; 0 is none."""
MAX_ERROR_CODE: Final = 0xFFFF
"""Highest code that a response can carry; upstream names only some, :class:`ErrorCode`."""
_PORT_DIGITS: Final = 5
_NO_PORT: Final = "~"


@final
@dataclass(frozen=True, slots=True)
class DmsgAddr:
    """One end of a dmsg stream.

    Args:
        pk: whose; None is the null key.
        port: 0 to 65535; 0 is no port.

    Raises:
        InvalidAddress: the port is out of range.
    """

    pk: PubKey | None = None
    port: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= MAX_PORT:
            raise InvalidAddress(f"a port is a number from 0 to {MAX_PORT}, not {self.port}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form: ``pk:port``, ``pk:~``, ``pk:``, ``pk`` or ``:port``, blanks allowed around the parts.

        Raises:
            InvalidAddress: anything else.
        """
        head, separator, tail = text.partition(":")
        head, tail = head.strip(), tail.strip()
        if not head and not separator:
            raise InvalidAddress("an address is pk:port, this is empty")
        try:
            pk = PubKey.from_hex(head) if head else None
        except InvalidKey as error:
            raise InvalidAddress(f"not an address of the form pk:port: {error}") from None
        if tail in {"", _NO_PORT}:
            return cls(pk)
        if not (tail.isascii() and tail.isdigit() and len(tail) <= _PORT_DIGITS):
            raise InvalidAddress(f"not an address of the form pk:port: a port is a number from 0 to {MAX_PORT}")
        return cls(pk, int(tail))

    def __str__(self) -> str:
        """The text form, which :meth:`parse` reads back; a null key is left out."""
        return f"{'' if self.pk is None else self.pk}:{self.port or _NO_PORT}"


_ADDR: Final = Struct("Addr", (Field("PK", Opaque("PubKey")), Field("Port", UINT)))
_REQUEST: Final = Codec(
    Struct(
        "StreamRequest",
        (
            Field("Timestamp", INT),
            Field("SrcAddr", _ADDR),
            Field("DstAddr", _ADDR),
            Field("IPinfo", BOOL),
            Field("NoiseMsg", BYTES),
        ),
    )
)
_RESPONSE: Final = Codec(
    Struct(
        "StreamResponse",
        (
            Field("ReqHash", Array(UINT, DIGEST_SIZE, "SHA256")),
            Field("Accepted", BOOL),
            Field("IP", BYTES),
            Field("ErrCode", UINT),
            Field("NoiseMsg", BYTES),
        ),
    )
)


@final
@dataclass(frozen=True, slots=True)
class SignedObject:
    """A signature and the gob that it covers, exactly as they travel; made by :meth:`make` or :meth:`parse`.

    Args:
        raw: signature (65 bytes) || gob. Hashes refer to these bytes, so they are never encoded anew.
    """

    raw: bytes

    @classmethod
    def make(cls, sec_key: SecKey, body: bytes) -> Self:
        """Sign an encoded request or response.

        Raises:
            LocalProtocolError: ``body`` is empty, or the object would exceed ``MAX_SIGNED_OBJECT``.
        """
        if not 0 < len(body) <= MAX_SIGNED_OBJECT - SIGNATURE_SIZE:
            raise LocalProtocolError(
                f"a signed object holds 1 to {MAX_SIGNED_OBJECT - SIGNATURE_SIZE} bytes, this is {len(body)}"
            )
        return cls(sec_key.sign(body).raw + body)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Take a received object; nothing of it is verified.

        Raises:
            DmsgError: SIGNED_OBJECT: not longer than a signature, or longer than ``MAX_SIGNED_OBJECT``.
        """
        if not SIGNATURE_SIZE < len(raw) <= MAX_SIGNED_OBJECT:
            raise DmsgError(ErrorCode.SIGNED_OBJECT, f"it has {len(raw)} bytes")
        return cls(raw)

    @property
    def signature(self) -> Signature:
        """The first 65 bytes."""
        return Signature(self.raw[:SIGNATURE_SIZE])

    @property
    def body(self) -> bytes:
        """The gob."""
        return self.raw[SIGNATURE_SIZE:]

    @property
    def hash(self) -> bytes:
        """SHA-256 of all its bytes, 32 bytes: what a response says it answers."""
        return hashlib.sha256(self.raw).digest()


@final
@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What an initiator asks of a server and, through it, of a responder.

    Args:
        timestamp_ns: Unix time in nanoseconds, int64.
        source: the initiator and its ephemeral port.
        destination: the responder and its listening port; the server itself for an IP look-up.
        ip_info: whether this is an IP look-up.
        noise_message: first message of the end-to-end handshake; empty for a look-up.
    """

    timestamp_ns: int
    source: DmsgAddr
    destination: DmsgAddr
    ip_info: bool = False
    noise_message: bytes = b""

    def encode(self) -> bytes:
        """The gob of this request.

        Raises:
            LocalProtocolError: the timestamp is no int64.
        """
        return _REQUEST.encode(
            (
                self.timestamp_ns,
                _from_addr(self.source),
                _from_addr(self.destination),
                self.ip_info,
                self.noise_message,
            )
        )

    @classmethod
    def decode(cls, gob: bytes) -> Self:
        """Read a request from its gob; nothing of it is verified.

        Raises:
            GobError: no request, a port above 65535 or an invalid public key.
        """
        value = _REQUEST.decode(gob)
        assert isinstance(value, tuple)
        timestamp_ns, source, destination, ip_info, noise_message = value
        assert isinstance(timestamp_ns, int)
        assert isinstance(ip_info, bool)
        assert isinstance(noise_message, bytes)
        return cls(timestamp_ns, _to_addr(source), _to_addr(destination), ip_info, noise_message)

    @classmethod
    def open(cls, signed: SignedObject, last_timestamp_ns: int = 0) -> Self:
        """Read a request and verify what every server and responder verifies, in upstream's order.

        Args:
            signed: what was received.
            last_timestamp_ns: the timestamp must be higher; upstream always has 0 here.

        Raises:
            GobError: as :meth:`decode`.
            DmsgError: REQUEST_SOURCE_KEY, REQUEST_SOURCE_PORT, REQUEST_DESTINATION_KEY, REQUEST_DESTINATION_PORT,
                REQUEST_TIMESTAMP or REQUEST_SIGNATURE.

        Source: protocol-dmsg.md section 4.4.
        """
        body = signed.body
        request = cls.decode(body)
        source_key = request.source.pk
        if source_key is None:
            raise DmsgError(ErrorCode.REQUEST_SOURCE_KEY)
        if not request.source.port:
            raise DmsgError(ErrorCode.REQUEST_SOURCE_PORT)
        if request.destination.pk is None:
            raise DmsgError(ErrorCode.REQUEST_DESTINATION_KEY)
        if not request.destination.port:
            raise DmsgError(ErrorCode.REQUEST_DESTINATION_PORT)
        if request.timestamp_ns <= last_timestamp_ns:
            raise DmsgError(ErrorCode.REQUEST_TIMESTAMP)
        if not source_key.verify(signed.signature, body):
            raise DmsgError(ErrorCode.REQUEST_SIGNATURE)
        return request

    def require_source(self, session_key: PubKey) -> None:
        """What a server verifies besides: that a request is of the client on whose session it came.

        Raises:
            DmsgError: REQUEST_SOURCE_KEY.
        """
        if self.source.pk != session_key:
            raise DmsgError(ErrorCode.REQUEST_SOURCE_KEY, "it is not that of the session")

    def require_destination(self, own_key: PubKey) -> None:
        """What a responder verifies besides: that a request is for itself.

        Raises:
            DmsgError: REQUEST_DESTINATION_KEY.
        """
        if self.destination.pk != own_key:
            raise DmsgError(ErrorCode.REQUEST_DESTINATION_KEY, "it is that of someone else")


@final
@dataclass(frozen=True, slots=True)
class StreamResponse:
    """What a responder, or a server for a look-up, answers to a request.

    Args:
        request_hash: hash of the signed request, 32 bytes.
        accepted: whether the stream is open.
        ip: result of a look-up, 4 or 16 bytes; else empty. An IPv4 address may come in 16.
        error_code: why not accepted, 0 to 65535; any number may come.
        noise_message: second message of the end-to-end handshake.
    """

    request_hash: bytes
    accepted: bool
    ip: bytes = b""
    error_code: int = 0
    noise_message: bytes = b""

    def encode(self) -> bytes:
        """The gob of this response.

        Raises:
            LocalProtocolError: the hash is not 32 bytes, or the code not in range.
        """
        if self.error_code > MAX_ERROR_CODE:
            raise LocalProtocolError(f"an error code is at most {MAX_ERROR_CODE}, not {self.error_code}")
        return _RESPONSE.encode((tuple(self.request_hash), self.accepted, self.ip, self.error_code, self.noise_message))

    @classmethod
    def decode(cls, gob: bytes) -> Self:
        """Read a response from its gob; nothing of it is verified.

        Raises:
            GobError: no response, or a number in it is out of range.
        """
        value = _RESPONSE.decode(gob)
        assert isinstance(value, tuple)
        numbers, accepted, ip, error_code, noise_message = value
        assert isinstance(accepted, bool)
        assert isinstance(ip, bytes)
        assert isinstance(error_code, int)
        assert isinstance(noise_message, bytes)
        if error_code > MAX_ERROR_CODE:
            raise GobError(f"error code {error_code} is out of range")
        return cls(_to_hash(numbers), accepted, ip, error_code, noise_message)

    @classmethod
    def open(cls, signed: SignedObject, request_hash: bytes, signer: PubKey) -> Self:
        """Read a response and verify what servers and initiators verify, in upstream's order.

        Args:
            signed: what was received.
            request_hash: hash of the signed request that it should answer, 32 bytes.
            signer: destination key of that request.

        Raises:
            GobError: as :meth:`decode`.
            DmsgError: RESPONSE_HASH, RESPONSE_SIGNATURE, or as :meth:`require_accepted`.

        Source: protocol-dmsg.md section 4.4.
        """
        response = cls.verify(signed, request_hash, signer)
        response.require_accepted()
        return response

    @classmethod
    def verify(cls, signed: SignedObject, request_hash: bytes, signer: PubKey) -> Self:
        """As :meth:`open` without asking whether it says yes: who passes it on passes on both."""
        body = signed.body
        response = cls.decode(body)
        if response.request_hash != request_hash:
            raise DmsgError(ErrorCode.RESPONSE_HASH)
        if not signer.verify(signed.signature, body):
            raise DmsgError(ErrorCode.RESPONSE_SIGNATURE)
        return response

    def require_accepted(self) -> None:
        """What an initiator verifies besides.

        Raises:
            DmsgError: why the request was not accepted: the peer's code, REJECTED when it is none of upstream's.
        """
        if not self.accepted:
            raise DmsgError(_KNOWN_CODES.get(self.error_code, ErrorCode.REJECTED))


_KNOWN_CODES: Final[dict[int, ErrorCode]] = {code.value: code for code in ErrorCode}


def _from_addr(address: DmsgAddr) -> GobValue:
    return None if address.pk is None else address.pk.raw, address.port


def _to_addr(value: GobValue) -> DmsgAddr:
    assert isinstance(value, tuple)
    raw, port = value
    assert isinstance(port, int)
    try:
        if raw is None:
            return DmsgAddr(None, port)
        assert isinstance(raw, bytes)
        return DmsgAddr(PubKey(raw), port)
    except (InvalidAddress, InvalidKey) as error:
        raise GobError(f"an address is invalid: {error}") from None


def _to_hash(value: GobValue) -> bytes:
    assert isinstance(value, tuple)
    try:
        return bytes([number for number in value if isinstance(number, int)])
    except ValueError:
        raise GobError("a byte of a hash is out of range") from None
