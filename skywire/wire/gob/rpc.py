"""Calls of Go's net/rpc over gob: each is a header and a body, and replies come in any order.

Source: protocol-dmsg.md section 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from skywire.errors import LocalProtocolError
from skywire.wire.gob.decode import MAX_MESSAGE_SIZE, Decoder, Message
from skywire.wire.gob.definitions import MAX_TYPES, TypeIds
from skywire.wire.gob.encode import Encoder
from skywire.wire.gob.scalars import GobError
from skywire.wire.gob.types import EMPTY, STRING, UINT, Field, GobType, GobValue, Struct

REQUEST: Final = Struct("Request", (Field("ServiceMethod", STRING), Field("Seq", UINT)))
RESPONSE: Final = Struct("Response", (Field("ServiceMethod", STRING), Field("Seq", UINT), Field("Error", STRING)))


@final
@dataclass(frozen=True, slots=True)
class RpcMessage:
    """A request or a response; a request has no error."""

    method: str
    """Such as ``pty.Read``; a response repeats that of its request."""
    seq: int
    """uint64, counted by the client from 0; a response repeats that of its request."""
    error: str
    """Why the call failed, or empty. The body of a failed call means nothing."""
    body: Message
    """The argument or the reply, to be decoded once its type is known from the method."""


@final
class RpcReader:
    """The receiving half of one direction.

    The first violation ends it: it is kept in :attr:`error`, messages before it are still handed out, input after it is
    ignored. A body that does not fit is for its receiver to answer; the next message can still be read.

    Args:
        max_message: largest header or body to accept, in bytes.
        max_types: most type definitions to accept.
    """

    __slots__ = ("_decoder", "_header", "error")

    def __init__(self, *, max_message: int = MAX_MESSAGE_SIZE, max_types: int = MAX_TYPES) -> None:
        self._decoder = Decoder(max_message=max_message, max_types=max_types)
        self._header: tuple[str, int, str] | None = None
        self.error: GobError | None = None
        """Why nothing more can be read, or None."""

    @property
    def partial(self) -> bool:
        """Whether the input so far ends inside a header or body, or between the two; not after an error."""
        return self.error is None and (self._header is not None or self._decoder.partial)

    def receive(self, data: bytes) -> list[RpcMessage]:
        """The requests or responses that ``data`` completes."""
        complete: list[RpcMessage] = []
        if self.error is not None:
            return complete
        try:
            for message in self._decoder.receive(data):
                if self._header is None:
                    self._header = _read_header(message)
                else:
                    complete.append(RpcMessage(*self._header, message))
                    self._header = None
        except GobError as error:
            self.error = error
        else:
            self.error = self._decoder.error
        return complete


def _read_header(message: Message) -> tuple[str, int, str]:
    """Method, number and error: a request fits ``RESPONSE`` too, it lacks only the error."""
    value = message.decode(RESPONSE)
    assert isinstance(value, tuple)
    method, seq, error = value
    assert isinstance(method, str)
    assert isinstance(seq, int)
    assert isinstance(error, str)
    return method, seq, error


@final
class RpcWriter:
    """The sending half of one direction.

    Args:
        ids: the numbering of types; by default one of its own, from 64 on.
    """

    __slots__ = ("_encoder",)

    def __init__(self, ids: TypeIds | None = None) -> None:
        self._encoder = Encoder(ids)

    def request(self, method: str, seq: int, schema: GobType, argument: GobValue) -> bytes:
        """The bytes of a call.

        Raises:
            LocalProtocolError: ``argument`` is no value of ``schema``, or ``seq`` no uint64; the stream is as before.
        """
        return self._encoder.encode_all(((REQUEST, (method, seq)), (schema, argument)))

    def response(self, method: str, seq: int, schema: GobType, reply: GobValue) -> bytes:
        """The bytes of the answer to a call that succeeded; raises as :meth:`request`."""
        return self._encoder.encode_all(((RESPONSE, (method, seq, "")), (schema, reply)))

    def failure(self, method: str, seq: int, error: str) -> bytes:
        """The bytes of the answer to a call that failed.

        Raises:
            LocalProtocolError: ``error`` is empty, which would mean success, or as :meth:`request`.
        """
        if not error:
            raise LocalProtocolError("a failed call needs a reason")
        return self._encoder.encode_all(((RESPONSE, (method, seq, error)), (EMPTY, ())))
