"""The demo in a real browser: its program as people start it, and its pages as they open them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after, open_process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.apps.browser import Browser, browsing
from tests.apps.skychat.page import LIVE, MESSAGES, choose
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio
SECONDS = 60.0
ENTER = "\ue007"
LOG = "document.getElementById('log').innerText"
APPS = "document.getElementById('apps').innerText"
SCRIPT = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[dict[str, dict[str, dict[str, str]]]]:
    """The demo while the block runs; what it says of its visors."""
    sockets = tempfile.mkdtemp(prefix="sky-")
    environment = {**os.environ, "SKYWIRE_RUNTIME_DIR": sockets, "TMPDIR": str(folder)}
    words = [sys.executable, "-m", "skywire", "demo", "--keep", "--json"]
    try:
        async with await open_process(words, env=environment, stderr=None) as process:
            assert process.stdout is not None
            try:
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1 << 20)
                yield json.loads(line)["visors"]
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
    finally:
        shutil.rmtree(sockets)


@asynccontextmanager
async def two_browsers(folder: Path) -> AsyncIterator[tuple[Browser, Browser]]:
    async with browsing(folder / "one") as one, browsing(folder / "other") as other, create_task_group():
        yield one, other


async def test_what_is_typed_in_one_page_appears_in_the_other_visors(tmp_path: Path) -> None:
    with fail_after(SECONDS):
        async with demo(tmp_path) as visors, two_browsers(tmp_path) as (one, other):
            keys = {name: str(node["public_key"]) for name, node in visors.items()}
            await one.open(visors["alice"]["pages"]["skychat"])
            await one.until(LIVE)
            await other.open(visors["bob"]["pages"]["skychat"])
            await other.until(LIVE)
            await choose(one, keys["bob"][:8])
            await choose(other, keys["alice"][:8])
            await one.until(f"{MESSAGES}.includes('Hello alice!')")

            await one.type("#text", f"Is it raining where you are?{ENTER}")
            await other.until(f"{MESSAGES}.includes('Is it raining where you are?')")
            await other.type("#text", f"{SCRIPT}{ENTER}")
            await one.until(f"{MESSAGES}.includes('<script>')")
            assert await one.ask("return document.title") != "owned"
            if folder := os.environ.get("SKYWIRE_SCREENSHOTS"):
                await one.look(width=1100, dark=False)
                await one.screenshot(Path(folder) / "demo-chat.png")

            # The log server of the other one tells that somebody wrote, and not what.
            await other.open(visors["bob"]["pages"]["log-server"])
            await other.until(f"{APPS}.includes('skychat') && {APPS}.includes('running')")
            await other.until(f"{LOG}.includes('a message of {keys['alice']}')")
            assert await other.ask(f"return {LOG}.includes('raining')") is False
            assert await other.ask(f"return {LOG}.includes('a message of {keys['bob']}')") is False
            if folder:
                await other.look(width=1100, dark=False)
                await other.screenshot(Path(folder) / "demo-log.png")
            for browser in (one, other):
                assert [each for each in await browser.complaints() if "favicon" not in each] == []
