"""The sockets that this process has open, as Linux tells them."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from skywire.net.address import join_host_port

MOST: Final = 2000
"""Sockets that are told."""
_PROCESS: Final = Path("/proc/self")
_STATES: Final = {
    "01": "established",
    "02": "syn-sent",
    "03": "syn-received",
    "04": "fin-wait-1",
    "05": "fin-wait-2",
    "06": "time-wait",
    "07": "closed",
    "08": "close-wait",
    "09": "last-ack",
    "0A": "listening",
    "0B": "closing",
}
_UDP_STATES: Final = {"01": "connected", "07": "open"}


@final
@dataclass(frozen=True, slots=True)
class OpenSocket:
    """One socket.

    Args:
        kind: tcp, udp or unix.
        local: this end; of a unix socket its path, if it has one.
        remote: the other end; empty where there is none.
        state: of the connection.
    """

    kind: str
    local: str
    remote: str
    state: str


def open_sockets(process: Path = _PROCESS) -> tuple[OpenSocket, ...]:
    """The sockets of a process, at most :data:`MOST`; none where the system does not tell.

    Args:
        process: its folder below ``/proc``.
    """
    numbers = _numbers(process)
    found = [each for number, each in _all(process) if number in numbers]
    return tuple(sorted(found, key=lambda each: (each.kind, each.local, each.remote))[:MOST])


def _numbers(process: Path) -> frozenset[str]:
    """The inodes of the sockets among the descriptors."""
    found = set()
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return frozenset()
    for descriptor in descriptors:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # it is closed again
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return frozenset(found)


def _all(process: Path) -> Iterator[tuple[str, OpenSocket]]:
    """All sockets of the network namespace, by inode."""
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        states = _STATES if kind.startswith("tcp") else _UDP_STATES
        for fields in _lines(process / "net" / kind):
            remote = "" if fields[2].endswith(":0000") else _address(fields[2])
            state = states.get(fields[3], fields[3])
            yield fields[9], OpenSocket(kind.removesuffix("6"), _address(fields[1]), remote, state)
    for fields in _lines(process / "net" / "unix"):
        state = "listening" if fields[3] == "00010000" else "open"
        yield fields[6], OpenSocket("unix", " ".join(fields[7:]), "", state)


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        lines = path.read_text("utf-8", errors="backslashreplace").split("\n")
    except OSError:
        return
    for line in lines[1:]:
        if line:
            yield line.split()


def _address(text: str) -> str:
    """Host and port of what the kernel writes: words of the machine's own order, in hexadecimal."""
    host, _, port = text.partition(":")
    words = [bytes.fromhex(host[start : start + 8]) for start in range(0, len(host), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return join_host_port(str(address), int(port, 16))
