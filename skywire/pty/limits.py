"""What sessions may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class SessionLimits:
    """See each.

    Args:
        per_key: sessions of one key at a time.
        all_keys: sessions at a time.
        kept_bytes: output of each that is kept until the client has it; then the program waits.
        keep_seconds: how long one goes on, or is remembered, while nobody is attached to it.
        end_seconds: for a program to end when its session does, before it is killed.
    """

    per_key: int = 32
    all_keys: int = 256
    kept_bytes: int = 1 << 20
    keep_seconds: float = 86400.0
    end_seconds: float = 2.0
