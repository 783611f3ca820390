"""The post-quantum extension of the handshakes: ML-KEM-768 in their payloads, mixed into the transport keys.

The initiator puts an encapsulation key into message 1; a responder that knows the extension answers with a ciphertext
in message 2. A payload of any other size is ignored, so that peers without the extension simply go on without it.

Source: upstream-2026.md section 3.2, row 2.
"""

from __future__ import annotations

import hmac
from typing import Final

from skywire.wire.noise import TransportKeys

ENCAPSULATION_KEY_SIZE: Final = 1184
"""Bytes of the offer, the payload of message 1."""
CIPHERTEXT_SIZE: Final = 1088
"""Bytes of the answer, the payload of message 2."""
SHARED_SECRET_SIZE: Final = 32
"""Bytes of what both sides then share."""

_INFO: Final = b"skywire-pq-hybrid-v1"


def mix_shared_secret(keys: TransportKeys, shared_secret: bytes) -> TransportKeys:
    """Make the transport keys depend on the ML-KEM secret too, bound to this very handshake.

    Args:
        keys: of the finished classical handshake.
        shared_secret: 32 bytes, from ML-KEM-768.
    """
    return TransportKeys(
        _mix(keys.send, shared_secret, keys.handshake_hash),
        _mix(keys.receive, shared_secret, keys.handshake_hash),
        keys.handshake_hash,
    )


def _mix(key: bytes, shared_secret: bytes, salt: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) with one block of output."""
    pseudo_random_key = hmac.digest(salt, key + shared_secret, "sha256")
    return hmac.digest(pseudo_random_key, _INFO + b"\x01", "sha256")
