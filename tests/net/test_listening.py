"""Where a program listens for what its user wrote."""

from __future__ import annotations

import resource

import pytest

from skywire.errors import InvalidAddress
from skywire.net.address import HostPort
from skywire.net.listening import listening_places


def test_where_to_listen() -> None:
    assert listening_places("127.0.0.1:1") == (HostPort("127.0.0.1", 1),)
    assert listening_places("[::1]:1") == (HostPort("::1", 1),)
    for bad in ("", ":", ":x", "1", ":65536", "host"):
        with pytest.raises(InvalidAddress):
            listening_places(bad)


def test_every_address_is_of_the_families_there_are() -> None:
    only_v4 = (HostPort("0.0.0.0", 1),)
    assert listening_places(":1") in ((*only_v4, HostPort("::", 1)), only_v4)
    # A system that gives no socket looks like one without IPv6.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert listening_places(":1") == only_v4
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
