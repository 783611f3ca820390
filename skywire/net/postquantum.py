"""The post-quantum extension of a handshake: one side offers a key, the other answers with a secret for it.

Source: upstream-2026.md section 3.2 row 2.
"""

from __future__ import annotations

from typing import Final, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from skywire.wire.noise import Handshake, TransportKeys
from skywire.wire.pqhybrid import CIPHERTEXT_SIZE, ENCAPSULATION_KEY_SIZE, mix_shared_secret


@final
class Offer:
    """The initiator's side; where the system's OpenSSL (below 3.5) cannot, it offers nothing."""

    __slots__ = ("_key", "payload")

    def __init__(self) -> None:
        try:
            self._key: MLKEM768PrivateKey | None = MLKEM768PrivateKey.generate()
        except UnsupportedAlgorithm:
            self._key = None
        self.payload: Final = self._key.public_key().public_bytes_raw() if self._key else b""
        """The payload of handshake message 1."""

    def secret(self, answer: bytes) -> bytes | None:
        """The shared secret, or None when the payload of message 2 is no answer, as that of old peers."""
        return self._key.decapsulate(answer) if self._key and len(answer) == CIPHERTEXT_SIZE else None


def answer_offer(payload: bytes) -> tuple[bytes | None, bytes]:
    """The responder's side.

    Args:
        payload: of handshake message 1; what is no offer gets no answer, as upstream.

    Returns:
        The shared secret, and the payload of message 2 that carries it.
    """
    if len(payload) != ENCAPSULATION_KEY_SIZE:
        return None, b""
    try:
        return MLKEM768PublicKey.from_public_bytes(payload).encapsulate()
    except (ValueError, UnsupportedAlgorithm):
        return None, b""


def final_keys(handshake: Handshake, secret: bytes | None) -> TransportKeys:
    """The keys of a finished handshake with or without a shared secret."""
    keys = handshake.transport_keys()
    return keys if secret is None else mix_shared_secret(keys, secret)
