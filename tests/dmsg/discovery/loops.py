"""The event loops that each store works on."""

from __future__ import annotations

import pytest

LOOPS = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
KINDS = [("memory", "asyncio"), ("memory", "uvloop"), ("memory", "trio"), ("redis", "asyncio"), ("redis", "uvloop")]

BOTH_STORES = pytest.mark.parametrize(
    ("anyio_backend", "kind"),
    [(LOOPS[loop], kind) for kind, loop in KINDS],
    ids=[f"{kind}-{loop}" for kind, loop in KINDS],
)
"""For tests that ask for a ``store``."""
ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", [LOOPS["asyncio"], LOOPS["uvloop"]], ids=["asyncio", "uvloop"])
"""For tests of what trio cannot run."""
