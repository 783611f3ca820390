"""Identity: secp256k1 public keys, secret keys and recoverable signatures, exactly as the Go network checks them.

Source: protocol-dmsg.md section 1. Curve arithmetic is libsecp256k1's (through coincurve).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn, Self, final

from coincurve import GLOBAL_CONTEXT, PrivateKey, PublicKey

from skywire.errors import InvalidKey

PUB_KEY_SIZE: Final = 33
"""Bytes of a compressed SEC1 point: 02 or 03, then the x-coordinate."""
SEC_KEY_SIZE: Final = 32
"""Bytes of a big-endian scalar."""
SIGNATURE_SIZE: Final = 65
"""Bytes of r (32) || s (32) || recovery id (1)."""
DIGEST_SIZE: Final = 32
"""Bytes of a SHA-256 digest, the only thing that is ever signed."""

_HEX_DIGITS: Final = frozenset(string.hexdigits)


def _unhex(text: str, size: int, what: str) -> bytes:
    """Decode exactly ``size`` bytes of hexadecimal text; no blanks, no prefix, either case."""
    if len(text) != 2 * size or not _HEX_DIGITS.issuperset(text):
        raise InvalidKey(f"a {what} is {2 * size} hexadecimal characters, this is {len(text)} characters of text")
    return bytes.fromhex(text)


@final
@dataclass(frozen=True, slots=True, order=True)
class PubKey:
    """A public key: the address of a node. Immutable, hashable, ordered by its bytes.

    Args:
        raw: 33 bytes, a compressed point of secp256k1.

    Raises:
        InvalidKey: not 33 bytes, first byte not 02 or 03, x not below the field prime, or no point of the curve.
    """

    raw: bytes

    def __post_init__(self) -> None:
        raw = self.raw
        if len(raw) != PUB_KEY_SIZE:
            raise InvalidKey(f"a public key is {PUB_KEY_SIZE} bytes, this is {len(raw)}")
        try:
            PublicKey(raw)
        except ValueError:
            raise InvalidKey("not a public key: these 33 bytes are no point of secp256k1") from None

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read the text form, 66 hexadecimal characters of either case; no blanks, no null key.

        Raises:
            InvalidKey: anything else.
        """
        return cls(_unhex(text, PUB_KEY_SIZE, "public key"))

    @classmethod
    def from_optional_hex(cls, text: str) -> Self | None:
        """Read the text form as upstream's JSON decoding does: any run of the character ``0``, even none, means unset.

        Raises:
            InvalidKey: neither such a run nor a public key.
        """
        if not text.strip("0"):
            return None
        return cls.from_hex(text)

    def hex(self) -> str:
        """The text form: 66 lower-case hexadecimal characters."""
        return self.raw.hex()

    def verify(self, signature: Signature, message: bytes) -> bool:
        """Whether ``signature`` was made by this key over SHA-256 of ``message``."""
        return self.verify_digest(signature, hashlib.sha256(message).digest())

    def verify_digest(self, signature: Signature, digest: bytes) -> bool:
        """Whether ``signature`` was made by this key over ``digest`` (32 bytes), by upstream's rules.

        The key is recovered and compared; then the top bit of s must be clear (which is looser than s <= n/2) and the
        recovery id below 4. An all-zero digest is refused.
        """
        raw = signature.raw
        return raw[32] < 0x80 and raw[64] < 4 and signature.recover(digest) == self

    def __bytes__(self) -> bytes:
        return self.raw

    def __str__(self) -> str:
        return self.raw.hex()

    def __repr__(self) -> str:
        return f"PubKey({self.raw.hex()!r})"


@final
@dataclass(frozen=True, slots=True)
class Signature:
    """A recoverable ECDSA signature; any 65 bytes are one, validity is a matter of :meth:`PubKey.verify`.

    Args:
        raw: 65 bytes: r || s || recovery id.

    Raises:
        InvalidKey: not 65 bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != SIGNATURE_SIZE:
            raise InvalidKey(f"a signature is {SIGNATURE_SIZE} bytes, this is {len(self.raw)}")

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read the text form, 130 hexadecimal characters of either case.

        Raises:
            InvalidKey: anything else.
        """
        return cls(_unhex(text, SIGNATURE_SIZE, "signature"))

    def hex(self) -> str:
        """The text form: 130 lower-case hexadecimal characters."""
        return self.raw.hex()

    def recover(self, digest: bytes) -> PubKey | None:
        """The public key that made this signature over ``digest`` (32 bytes), or None when there is none.

        Only the two low bits of the recovery id count here, as upstream.
        """
        raw = self.raw
        if len(digest) != DIGEST_SIZE or not any(digest):
            return None
        if raw[64] > 3:
            raw = raw[:64] + bytes((raw[64] & 3,))
        try:
            point = PublicKey.from_signature_and_message(raw, digest, hasher=None)
        except ValueError:
            return None
        return _known_point(point)

    def __bytes__(self) -> bytes:
        return self.raw

    def __str__(self) -> str:
        return self.raw.hex()


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SecKey:
    """A secret key. Its repr and text are redacted, it compares in constant time, and it refuses to be pickled.

    Args:
        secret: 32 bytes, a scalar k with 0 < k < n.

    Raises:
        InvalidKey: anything else. The text never quotes the input.
    """

    secret: bytes
    public: PubKey = field(init=False)
    """The public key that belongs to this secret key."""
    _private: _PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SEC_KEY_SIZE:
            raise InvalidKey(f"a secret key is {SEC_KEY_SIZE} bytes, this is {len(self.secret)}")
        try:
            private = _PrivateKey(self.secret)
        except ValueError:
            raise InvalidKey("not a secret key: the number is zero or not below the order of the curve") from None
        object.__setattr__(self, "_private", private)
        object.__setattr__(self, "public", _known_point(private.public_key))

    @classmethod
    def generate(cls) -> Self:
        """A new secret key from the operating system's randomness."""
        while True:
            try:
                return cls(secrets.token_bytes(SEC_KEY_SIZE))
            except InvalidKey:  # one draw in 2**128
                continue

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read the text form, 64 hexadecimal characters of either case.

        Raises:
            InvalidKey: anything else.
        """
        return cls(_unhex(text, SEC_KEY_SIZE, "secret key"))

    def expose_hex(self) -> str:
        """The text form, 64 lower-case hexadecimal characters: the secret itself, for a key file or a config."""
        return self.secret.hex()

    def sign(self, message: bytes) -> Signature:
        """Sign SHA-256 of ``message``. Deterministic (RFC 6979), s is always low."""
        return Signature(self._private.sign_recoverable(message))

    def sign_digest(self, digest: bytes) -> Signature:
        """Sign a digest of 32 bytes.

        Raises:
            InvalidKey: the digest is not 32 bytes, or all zero.
        """
        if len(digest) != DIGEST_SIZE or not any(digest):
            raise InvalidKey("only a digest of 32 bytes that are not all zero can be signed")
        return Signature(self._private.sign_recoverable(digest, hasher=None))

    def ecdh(self, peer: PubKey) -> bytes:
        """The secret shared with ``peer``: SHA-256 of the compressed product point, 32 bytes."""
        return self._private.ecdh(peer.raw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecKey):
            return NotImplemented
        return hmac.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash((SecKey, self.public))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not pickled: pass it by a key file")

    def __str__(self) -> str:
        return f"<secret key of {self.public}>"

    __repr__ = __str__


class _PrivateKey(PrivateKey):
    """coincurve's, made in half the time: its own constructor also computes the key of Schnorr signatures."""

    def __init__(self, secret: bytes) -> None:
        self.public_key = PublicKey.from_secret(secret)
        self.secret = secret
        self.context = GLOBAL_CONTEXT


def _known_point(point: PublicKey) -> PubKey:
    """The key of a point that libsecp256k1 computed, without paying for its validation again."""
    key = object.__new__(PubKey)
    object.__setattr__(key, "raw", point.format())
    return key


class SeededKeyPair(NamedTuple):
    """One step of upstream's deterministic key derivation."""

    next_seed: bytes
    """32 bytes; as the next seed they give the next pair."""
    secret_key: SecKey


def derive_key_pair(seed: bytes) -> SeededKeyPair:
    """The key pair that upstream derives from a seed, for fixtures and for import of seeded identities.

    Args:
        seed: at least one byte. A guessable seed is a guessable key.

    Raises:
        InvalidKey: the seed is empty.
    """
    if not seed:
        raise InvalidKey("a seed is at least one byte")
    next_seed = _stretch(seed)
    return SeededKeyPair(next_seed, _first_valid(hashlib.sha256(seed + next_seed).digest()))


def _first_valid(seed: bytes) -> SecKey:
    """Hash ``seed`` at least once, until it is a valid secret key."""
    while True:
        seed = hashlib.sha256(seed).digest()
        try:
            return SecKey(seed)
        except InvalidKey:  # one seed in 2**128
            continue


def _stretch(seed: bytes) -> bytes:
    """Upstream's slow-down of guessing: a hash that needs one scalar multiplication."""
    digest = hashlib.sha256(seed).digest()
    scalar = _first_valid(digest)
    point = _first_valid(hashlib.sha256(digest).digest()).public
    product = PublicKey(point.raw).multiply(scalar.secret).format()
    return hashlib.sha256(digest + product).digest()
