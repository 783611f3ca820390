"""Sealed messages, and the framed records that carry a byte stream after a handshake.

A sealed message is a counter (8 bytes, big-endian) and ChaCha20-Poly1305 ciphertext. A record is a sealed message
behind its length (2 bytes, big-endian). The counter of the first message is 1; one counter per direction and handshake.

Source: protocol-dmsg.md section 2.4 and 2.5.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol, TypeAlias, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from skywire.errors import AuthenticationError, LocalProtocolError, ProtocolError
from skywire.wire.noise import AEAD_NONCE, TAG_SIZE

PREFIX_SIZE: Final = 2
"""Bytes of the length before each frame."""
COUNTER_SIZE: Final = 8
"""Bytes of the counter before each ciphertext."""
SEAL_SIZE: Final = COUNTER_SIZE + TAG_SIZE
"""Bytes that sealing adds to a plaintext: 24."""
MAX_RECORD_BODY: Final = 4094
"""Largest length, in bytes, that a handshake or record frame may announce; more is fatal."""
MAX_RECORD: Final = MAX_RECORD_BODY - SEAL_SIZE
"""Most plaintext bytes in one record: 4070."""
MAX_OBJECT_BODY: Final = 0xFFFF
"""Largest length, in bytes, of a framed session object."""
MAX_COUNTER: Final = 2**64 - 2
"""Last counter a sender uses; reached after 10^19 messages, it ends the connection rather than repeat a nonce."""
WINDOW_BITS: Final = 8192
"""How far behind the highest counter of a session a late message is still told from a replay."""

_OUT_OF_ORDER: Final = "a message was repeated or came out of order"
_ALTERED: Final = "a message was altered, or sealed with another key"
_LENGTH: Final = Struct(">H")
_LENGTH_COUNTER: Final = Struct(">HQ")
_COUNTER: Final = Struct(">Q")

Buffer: TypeAlias = bytes | bytearray | memoryview


def frame(body: bytes) -> bytes:
    """Put the length before a body of at most 65535 bytes.

    Raises:
        LocalProtocolError: the body is longer.
    """
    if len(body) > MAX_OBJECT_BODY:
        raise LocalProtocolError(f"a frame holds at most {MAX_OBJECT_BODY} bytes, this is {len(body)}")
    return _LENGTH.pack(len(body)) + body


def split_frame(data: bytes, limit: int = MAX_RECORD_BODY) -> tuple[bytes, bytes] | None:
    """Cut the first frame off.

    Args:
        data: what has been received so far.
        limit: the largest length to accept, in bytes.

    Returns:
        The body of the first frame and the bytes behind it, or None while the frame is incomplete.

    Raises:
        ProtocolError: the announced length is above the limit; raised as soon as the two length bytes are there.
    """
    if len(data) < PREFIX_SIZE:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if length > limit:
        raise ProtocolError(f"a frame announces {length} bytes, the limit is {limit}")
    end = PREFIX_SIZE + length
    if len(data) < end:
        return None
    return data[PREFIX_SIZE:end], data[end:]


@final
class Sealer:
    """The sending half of one direction: seals, counts, and frames.

    Args:
        key: 32 bytes, of this direction alone.
    """

    __slots__ = ("_counter", "_encrypt")

    def __init__(self, key: bytes) -> None:
        self._encrypt = ChaCha20Poly1305(key).encrypt
        self._counter = 0

    def seal(self, plaintext: Buffer) -> bytes:
        """One sealed message without a length, for a session object.

        Raises:
            LocalProtocolError: the counter is used up.
        """
        counter = self._advance(1)
        return _COUNTER.pack(counter) + self._encrypt(AEAD_NONCE.pack(counter), plaintext, None)

    def seal_records(self, data: Buffer) -> bytes:
        """``data`` as records of at most 4070 bytes each; no data, no record.

        Raises:
            LocalProtocolError: the counter is used up.
        """
        size = len(data)
        if 0 < size <= MAX_RECORD:
            counter = self._advance(1)
            return _LENGTH_COUNTER.pack(size + SEAL_SIZE, counter) + self._encrypt(AEAD_NONCE.pack(counter), data, None)
        encrypt = self._encrypt
        pack_header, pack_nonce = _LENGTH_COUNTER.pack, AEAD_NONCE.pack
        counter = self._advance(-(-size // MAX_RECORD))
        view = memoryview(data)
        parts: list[bytes] = []
        for start in range(0, size, MAX_RECORD):
            chunk = view[start : start + MAX_RECORD]
            parts.append(pack_header(len(chunk) + SEAL_SIZE, counter))
            parts.append(encrypt(pack_nonce(counter), chunk, None))
            counter += 1
        return b"".join(parts)

    def _advance(self, count: int) -> int:
        """Take ``count`` counters; the first of them."""
        first = self._counter + 1
        if self._counter + count > MAX_COUNTER:
            raise LocalProtocolError("this connection has sealed as many messages as its key allows")
        self._counter += count
        return first


@final
class WindowOpener:
    """Opens messages in any order, each once, as the objects of a session need: their streams run side by side.

    A message more than 8192 counters behind the highest is refused, because it can no longer be told from a replay.
    Only an authentic message moves the window.

    Args:
        key: 32 bytes, of this direction alone.
    """

    __slots__ = ("_decrypt", "_highest", "_seen")

    def __init__(self, key: bytes) -> None:
        self._decrypt = ChaCha20Poly1305(key).decrypt
        self._highest = 0
        self._seen = 1  # bit i: counter `highest - i` has been seen; 0 itself is never sent

    def open(self, sealed: Buffer) -> bytes:
        """The plaintext of one sealed message.

        Raises:
            ProtocolError: too short, repeated, or too late to tell.
            AuthenticationError: altered, or sealed with another key.
        """
        counter = _counter_of(sealed)
        behind = self._highest - counter
        if behind >= WINDOW_BITS or (behind >= 0 and self._seen >> behind & 1):
            raise ProtocolError("a message was repeated, or came too late to tell")
        plaintext = _decrypt(self._decrypt, counter, sealed)
        if behind < 0:
            # A far jump would shift by an attacker's number of bits; all that survives it is the newest bit.
            self._seen = (self._seen << -behind | 1) & _WINDOW_MASK if -behind < WINDOW_BITS else 1
            self._highest = counter
        else:
            self._seen |= 1 << behind
        return plaintext


_WINDOW_MASK: Final = (1 << WINDOW_BITS) - 1


class _Decrypt(Protocol):
    def __call__(self, nonce: bytes, data: Buffer, associated_data: None, /) -> bytes: ...


def _counter_of(sealed: Buffer) -> int:
    if len(sealed) < COUNTER_SIZE:
        raise ProtocolError(
            f"a sealed message begins with {COUNTER_SIZE} bytes of counter, this is {len(sealed)} bytes"
        )
    counter: int = _COUNTER.unpack_from(sealed)[0]
    return counter


def _decrypt(decrypt: _Decrypt, counter: int, sealed: Buffer) -> bytes:
    try:
        return decrypt(AEAD_NONCE.pack(counter), memoryview(sealed)[COUNTER_SIZE:], None)
    except InvalidTag:
        raise AuthenticationError(_ALTERED) from None


@final
class RecordReader:
    """Cuts a received byte stream into records and opens them, as many as are asked for; counters must grow.

    The first violation ends it: it is kept in :attr:`error`, records before it are still handed out, input after it is
    ignored.

    Args:
        key: 32 bytes, of this direction alone.
    """

    __slots__ = ("_decrypt", "_highest", "_input", "_opened", "_start", "error", "waiting")

    def __init__(self, key: bytes) -> None:
        self._decrypt = ChaCha20Poly1305(key).decrypt
        self._highest = 0
        self._opened = b""  # what is left of a record that was taken in part
        self._input = b""
        self._start = 0  # of what is not opened of `_input`
        self.waiting = False
        """Whether something may be taken before more is fed."""
        self.error: ProtocolError | None = None
        """Why nothing more can be read, or None."""

    @property
    def partial(self) -> bool:
        """Whether the input ends inside a record; to be asked when all was taken."""
        return self._start < len(self._input)

    def feed(self, data: bytes) -> None:
        """Give more input."""
        if self.error is None:
            rest = self._input[self._start :]
            self._input = rest + data if rest else data
            self._start = 0
            self.waiting = True

    def take(self, max_bytes: int) -> bytes:
        """Open records: as many whole ones as fit, or the head of the first; empty when more input is needed.

        Args:
            max_bytes: at least 1.
        """
        data = self._open(max_bytes)
        if len(data) > max_bytes:
            self._opened = data[max_bytes:]
            self.waiting = True
            return data[:max_bytes]
        return data

    def take_record(self) -> bytes:
        """Open one record, or give what :meth:`take` left of one; empty when more input is needed."""
        return self._open(1)

    def _open(self, room: int) -> bytes:
        """Open one record if there is a whole one, and more while they fit into ``room`` bytes."""
        plaintexts: list[bytes] = []
        if self._opened:
            plaintexts.append(self._opened)
            room -= len(self._opened)
            self._opened = b""
        data, start, highest, decrypt = self._input, self._start, self._highest, self._decrypt
        size, view = len(data), memoryview(data)
        try:
            while room > 0:
                if size - start < PREFIX_SIZE:
                    self.waiting = False
                    break
                length = data[start] << 8 | data[start + 1]
                if not SEAL_SIZE <= length <= MAX_RECORD_BODY:
                    raise ProtocolError(
                        f"a record announces {length} bytes, allowed are {SEAL_SIZE} to {MAX_RECORD_BODY}"
                    )
                end = start + PREFIX_SIZE + length
                if end > size:
                    self.waiting = False
                    break
                if length - SEAL_SIZE > room and plaintexts:
                    break
                (counter,) = _COUNTER.unpack_from(data, start + PREFIX_SIZE)
                if counter <= highest:
                    raise ProtocolError(_OUT_OF_ORDER)
                plaintext = decrypt(AEAD_NONCE.pack(counter), view[start + PREFIX_SIZE + COUNTER_SIZE : end], None)
                highest = counter
                start = end
                if plaintext:
                    plaintexts.append(plaintext)
                    room -= len(plaintext)
        except InvalidTag:
            self._end(AuthenticationError(_ALTERED))
        except ProtocolError as error:
            self._end(error)
        else:
            self._highest = highest
            if start == size:
                self._input, self._start = b"", 0
                self.waiting = False
            else:
                self._start = start
        return plaintexts[0] if len(plaintexts) == 1 else b"".join(plaintexts)

    def _end(self, error: ProtocolError) -> None:
        self.error = error
        self._input = b""
        self._start = 0
        self.waiting = False
