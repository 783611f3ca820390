"""Host names that lead nowhere."""

from __future__ import annotations

import pytest

from skywire.net.tcp import connect, listen

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".net"])
async def test_what_cannot_be_a_host_name(host: str) -> None:
    """Python's own encoding of names refuses it; that is no other case than a name that nobody knows."""
    with pytest.raises(OSError, match=r"."):
        await connect(host, 80)
    with pytest.raises(OSError, match=r"."):
        await listen(host, 0)
