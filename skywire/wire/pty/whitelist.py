"""The calls by which programs of the same machine see and change who may use its pty.

Source: protocol-dmsg.md section 7.3.
"""

from __future__ import annotations

from typing import Final

from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.wire.gob import GobError, GobValue, Opaque, Slice
from skywire.wire.gob.method import NOTHING, Method, Shape

Keys = tuple[PubKey, ...]


def _read(value: GobValue) -> Keys:
    assert isinstance(value, tuple)
    try:
        return tuple(PubKey(each) for each in value if isinstance(each, bytes))
    except InvalidKey as error:
        raise GobError(f"a public key is wrong: {error}") from None


KEYS: Final[Shape[Keys]] = Shape(Slice(Opaque("PubKey")), lambda keys: tuple(each.raw for each in keys), _read)

LIST: Final = Method("whitelist.Whitelist", NOTHING, KEYS)
ADD: Final = Method("whitelist.WhitelistAdd", KEYS, NOTHING)
REMOVE: Final = Method("whitelist.WhitelistRemove", KEYS, NOTHING)
