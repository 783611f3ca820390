"""How people name the host that they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, final

from skywire.apps.pty import PTY
from skywire.errors import SkywireError
from skywire.net.address import TCP, Address

_AS_SCP: Final = re.compile(r"([0-9a-fA-F]{66}(?:@(?:\[[^\]/]*\]|[^:/\[\]]+))?):(.*)", re.DOTALL)
_AS_URL: Final = re.compile(r"([a-z]+://[^/]+)(?:/(.*))?", re.DOTALL)


class NoPeer(SkywireError):
    """Words name no host; the text says how one is named."""


def address_of(words: str, network: str) -> Address:
    """The address that is meant: whole, or without its network, or without its port.

    Args:
        words: ``<key>``, ``<key>:<port>``, ``<key>@<host>``, ``<key>@<host>:<port>``, or any of them behind
            ``dmsg://`` or ``tcp://``.
        network: where it says none; on ``tcp`` a host is needed.

    Raises:
        NoPeer: it is none of them.
    """
    scheme, there, rest = words.strip().rpartition("://")
    network = scheme if there else network
    key, at, place = rest.partition("@")
    if at:
        network = network if there else TCP
        has_port = place.rpartition(":")[2].isdigit() and (":" not in place.rpartition(":")[0] or "]:" in place)
        whole = f"{network}://{key}@{place}" + ("" if has_port else f":{PTY.tcp}")
    else:
        whole = f"{network}://{rest}" + ("" if ":" in rest else f":{PTY.overlay}")
    try:
        address = Address.parse(whole)
    except SkywireError as error:
        form = "<public key>@<host>" if network == TCP else "<public key>"
        raise NoPeer(f"{words[:200]!r} names no host, which is {form}, or with a port behind it: {error}") from None
    return address


@final
@dataclass(frozen=True, slots=True)
class FarPlace:
    """A file or folder of a host.

    Args:
        peer: the host, see :func:`address_of`.
        path: on it; relative ones are from the home of its user.
    """

    peer: str
    path: str


def far_place(words: str) -> FarPlace | None:
    """The place on a host that is meant; None for one of this machine.

    Args:
        words: ``<key>:<path>`` or ``<key>@<host>:<path>``; with a port ``<network>://<key>@<host>:<port>/<path>``,
            whose path begins behind the slash.
    """
    found = _AS_SCP.fullmatch(words) or _AS_URL.fullmatch(words)
    return None if found is None else FarPlace(found[1], found[2] or "")
