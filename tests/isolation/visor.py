"""A process with a child, to be killed."""

from __future__ import annotations

from pathlib import Path

from anyio import sleep_forever

from skywire.app.definition import Isolation
from tests.isolation.apps import Manner
from tests.isolation.places import place


async def main(folder: Path, how: str) -> None:
    """Run it until killed."""
    async with place(folder) as here:
        await here.run(here.config("manners", Isolation.CHILD, Manner(how)))
        await sleep_forever()
