"""The Noise handshakes XK and KK over secp256k1, ChaCha20-Poly1305 and SHA-256, as the Go network speaks them.

Differences from the Noise specification: public keys and Diffie-Hellman outputs are 33 bytes, and the two transport
keys are handed out by who wrote the last message, which reverses them for XK.

Source: protocol-dmsg.md section 2.1 to 2.3.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from struct import Struct
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from skywire.errors import AuthenticationError, InvalidKey, LocalProtocolError, ProtocolError
from skywire.keys import PUB_KEY_SIZE, PubKey, SecKey

TAG_SIZE: Final = 16
"""Bytes that sealing adds to a plaintext."""
AEAD_NONCE: Final = Struct("<4xQ")
"""How a counter becomes the 12-byte nonce of the cipher: four zero bytes, then the counter, little-endian."""


class Role(Enum):
    """Which side of a handshake this is."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Pattern(Enum):
    """A handshake pattern; the value is its name in the Noise specification."""

    XK = "XK"
    """Sessions and key-encrypted TCP: the initiator knows the responder's key, and shows its own in message 3."""
    KK = "KK"
    """Streams: both know each other's key."""


class _Token(Enum):
    E = "e"
    S = "s"
    EE = "ee"
    ES = "es"
    SE = "se"
    SS = "ss"


_MESSAGES: Final[dict[Pattern, tuple[tuple[_Token, ...], ...]]] = {
    Pattern.XK: ((_Token.E, _Token.ES), (_Token.E, _Token.EE), (_Token.S, _Token.SE)),
    Pattern.KK: ((_Token.E, _Token.ES, _Token.SS), (_Token.E, _Token.EE, _Token.SE)),
}


@final
@dataclass(frozen=True, slots=True)
class TransportKeys:
    """What a finished handshake leaves behind.

    Args:
        send: 32 bytes, the key of what this side sends.
        receive: 32 bytes, the key of what the peer sends.
        handshake_hash: 32 bytes, the same on both sides and unique to this handshake.
    """

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)
    handshake_hash: bytes


def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """The Noise key derivation with two outputs of 32 bytes each."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


class _SymmetricState:
    """Chaining key, transcript hash and current cipher of a running handshake."""

    def __init__(self, pattern: Pattern) -> None:
        self.chaining_key = hashlib.sha256(f"Noise_{pattern.value}_Secp256k1_ChaChaPoly_SHA256".encode()).digest()
        self.hash = self.chaining_key
        self.key: bytes | None = None
        self.counter = 0
        self.mix_hash(b"")  # the prologue is always empty, and still hashed

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, self.key = hkdf(self.chaining_key, material)
        self.counter = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        assert self.key is not None, "every pattern here mixes a key before it encrypts"
        sealed = ChaCha20Poly1305(self.key).encrypt(AEAD_NONCE.pack(self.counter), plaintext, self.hash)
        self.counter += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        assert self.key is not None, "every pattern here mixes a key before it decrypts"
        try:
            plaintext = ChaCha20Poly1305(self.key).decrypt(AEAD_NONCE.pack(self.counter), sealed, self.hash)
        except InvalidTag:
            raise AuthenticationError("the handshake failed: the peer has another key, or bytes were altered") from None
        self.counter += 1
        self.mix_hash(sealed)
        return plaintext


@final
class Handshake:
    """One side of one handshake: write and read messages in turn until :attr:`finished`, then take the keys.

    Any error ends it: later calls raise LocalProtocolError.

    Args:
        pattern: XK or KK.
        role: which side this is; the initiator writes first.
        static: this side's identity.
        ephemeral: makes a fresh secret key, never used before or again. Called once, when this side first writes: a
            stranger's first message is authenticated before it costs a key.
        remote_static: the peer's identity; left out only by the responder of XK, who learns it from message 3.

    Raises:
        LocalProtocolError: the peer's key is missing, or given where the pattern delivers it.
    """

    def __init__(
        self,
        pattern: Pattern,
        role: Role,
        *,
        static: SecKey,
        ephemeral: Callable[[], SecKey],
        remote_static: PubKey | None = None,
    ) -> None:
        learns_peer = pattern is Pattern.XK and role is Role.RESPONDER
        if learns_peer == (remote_static is not None):
            verb = "learns" if learns_peer else "needs"
            raise LocalProtocolError(f"the {role.value} of {pattern.value} {verb} the peer's key")
        self._messages = _MESSAGES[pattern]
        self._role = role
        self._static = static
        self._make_ephemeral = ephemeral
        self._ephemeral: SecKey | None = None
        self._remote_static = remote_static
        self._remote_ephemeral: PubKey | None = None
        self._next = 0
        self._failed = False
        self._state = _SymmetricState(pattern)
        keys = [static.public, remote_static] if role is Role.INITIATOR else [remote_static, static.public]
        for key in keys if pattern is Pattern.KK else keys[1:]:
            assert key is not None, "only the initiator of XK is unknown before its message 3"
            self._state.mix_hash(key.raw)

    @property
    def finished(self) -> bool:
        """Whether all messages have been exchanged."""
        return self._next == len(self._messages) and not self._failed

    @property
    def my_turn(self) -> bool:
        """Whether the next step is :meth:`write_message`."""
        return not self.finished and (self._next % 2 == 0) == (self._role is Role.INITIATOR)

    @property
    def remote_static(self) -> PubKey | None:
        """The peer's identity; None for the responder of XK before message 3. Proven only once finished."""
        return self._remote_static

    def write_message(self, payload: bytes = b"") -> bytes:
        """The next message to send: 49 or 65 bytes and the payload.

        Raises:
            LocalProtocolError: it is the peer's turn, or the handshake is over.
        """
        tokens = self._begin(writing=True)
        parts = []
        for token in tokens:
            if token is _Token.E:
                self._ephemeral = self._make_ephemeral()
                key = self._ephemeral.public.raw
                self._state.mix_hash(key)
                parts.append(key)
            elif token is _Token.S:
                parts.append(self._state.encrypt_and_hash(self._static.public.raw))
            else:
                self._mix_dh(token)
        parts.append(self._state.encrypt_and_hash(payload))
        self._next += 1
        return b"".join(parts)

    def read_message(self, message: bytes) -> bytes:
        """Check the peer's next message and return its payload, which is empty unless the peer offers an extension.

        Raises:
            ProtocolError: too short, or a key in it is no point of the curve.
            AuthenticationError: altered, or made for or by another key.
            LocalProtocolError: it is our turn, or the handshake is over.
        """
        tokens = self._begin(writing=False)
        self._failed = True
        rest = memoryview(message)
        for token in tokens:
            if token is _Token.E:
                raw, rest = _take(rest, PUB_KEY_SIZE)
                self._remote_ephemeral = _peer_key(raw)
                self._state.mix_hash(raw)
            elif token is _Token.S:
                sealed, rest = _take(rest, PUB_KEY_SIZE + TAG_SIZE)
                self._remote_static = _peer_key(self._state.decrypt_and_hash(sealed))
            else:
                self._mix_dh(token)
        payload = self._state.decrypt_and_hash(bytes(rest))
        self._next += 1
        self._failed = False
        return payload

    def transport_keys(self) -> TransportKeys:
        """The keys of the transport phase.

        Raises:
            LocalProtocolError: the handshake is not finished.
        """
        if not self.finished:
            raise LocalProtocolError("a handshake gives its keys only when it is finished")
        first, second = hkdf(self._state.chaining_key, b"")
        wrote_last = (len(self._messages) % 2 == 1) == (self._role is Role.INITIATOR)
        send, receive = (second, first) if wrote_last else (first, second)
        return TransportKeys(send, receive, self._state.hash)

    def _begin(self, *, writing: bool) -> tuple[_Token, ...]:
        if self._failed:
            raise LocalProtocolError("this handshake has failed")
        if self.finished:
            raise LocalProtocolError("this handshake is finished")
        if writing != self.my_turn:
            raise LocalProtocolError("the handshake is at the other side's turn")
        return self._messages[self._next]

    def _mix_dh(self, token: _Token) -> None:
        # A token names the initiator's key, then the responder's.
        mine, peer = (0, 1) if self._role is Role.INITIATOR else (1, 0)
        secret = self._ephemeral if token.value[mine] == "e" else self._static
        public = self._remote_ephemeral if token.value[peer] == "e" else self._remote_static
        assert secret is not None, "the patterns make each key before they use it"
        assert public is not None, "the patterns deliver each key before they use it"
        # The Go library wants outputs as long as public keys, so one zero byte follows the 32.
        self._state.mix_key(secret.ecdh(public) + b"\x00")


def _take(rest: memoryview, size: int) -> tuple[bytes, memoryview]:
    if len(rest) < size:
        raise ProtocolError("a handshake message is too short")
    return bytes(rest[:size]), rest[size:]


def _peer_key(raw: bytes) -> PubKey:
    try:
        return PubKey(raw)
    except InvalidKey as error:
        raise ProtocolError(f"a handshake message carries a bad key: {error}") from None
