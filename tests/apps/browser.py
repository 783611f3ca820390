"""A real browser: Chromium, driven as W3C's WebDriver says. All it can reach is this machine."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from anyio import fail_after, open_process, sleep
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

START_SECONDS = 30.0
PATIENCE = 15.0
"""Seconds for what takes much less."""
LOOK_SECONDS = 0.02
"""Between two looks at a page, which cannot tell us."""
_WANTED = {
    "goog:chromeOptions": {
        "args": [
            "--headless=new",
            "--no-proxy-server",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # which Chromium does not have for root
        ]
    },
    "goog:loggingPrefs": {"browser": "ALL"},
}


@dataclass
class Browser:
    """One window."""

    client: httpx.AsyncClient
    session: str

    async def open(self, url: str) -> None:
        await self._post("url", {"url": url})

    async def open_tab(self, url: str) -> None:
        """Another tab beside those that are open; it is the one that is driven from now on."""
        made = await self._post("window/new", {"type": "tab"})
        assert isinstance(made, dict)
        await self.turn_to(str(made["handle"]))
        await self.open(url)

    async def tab(self) -> str:
        """The handle of the one that is driven."""
        return str(await self._get("window"))

    async def turn_to(self, tab: str) -> None:
        await self._post("window", {"handle": tab})

    async def ask(self, script: str, *arguments: object) -> object:
        """What a script of one ``return`` gives."""
        return await self._post("execute/sync", {"script": script, "args": list(arguments)})

    async def until(self, script: str, *arguments: object) -> None:
        """Wait until a condition in the page holds."""
        try:
            with fail_after(PATIENCE):
                while not await self.ask(f"return Boolean({script})", *arguments):  # noqa: ASYNC110 - see above
                    await sleep(LOOK_SECONDS)
        except TimeoutError:
            text = await self.ask("return document.body.innerText")
            raise AssertionError(f"{script} with {arguments} did not come to be; the page is:\n{text}") from None

    async def click(self, selector: str) -> None:
        await self._post(f"element/{await self._find(selector)}/click", {})

    async def type(self, selector: str, text: str) -> None:
        await self._post(f"element/{await self._find(selector)}/value", {"text": text})

    async def press(self, key: str) -> None:
        """Press a key where the focus is; of more than one, all but the last are held down, and then let go."""
        downs = [{"type": "keyDown", "value": each} for each in key]
        actions = [*downs, *({"type": "keyUp", "value": each} for each in reversed(key))]
        await self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    async def write(self, text: str) -> None:
        """Press one key after the other where the focus is."""
        actions = [{"type": kind, "value": each} for each in text for kind in ("keyDown", "keyUp")]
        await self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    async def look(self, *, width: int, dark: bool) -> None:
        """Be so wide, in pixels, and so lit."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        await self._command("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._command("Emulation.setEmulatedMedia", {"features": [feature]})

    async def before_each_page(self, script: str) -> None:
        """Run a script in each page before its own."""
        await self._command("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    async def screenshot(self, path: Path) -> None:
        answer = await self._command("Page.captureScreenshot", {"captureBeyondViewport": True})
        assert isinstance(answer, dict)
        path.write_bytes(base64.b64decode(answer["data"]))

    async def complaints(self) -> list[str]:
        """What the browser has said of the page since the last time."""
        entries = await self._post("se/log", {"type": "browser"})
        assert isinstance(entries, list)
        return [str(each["message"]) for each in entries]

    async def _find(self, selector: str) -> str:
        found = await self._post("element", {"using": "css selector", "value": selector})
        assert isinstance(found, dict)
        return str(next(iter(found.values())))

    async def _command(self, name: str, parameters: object) -> object:
        return await self._post("goog/cdp/execute", {"cmd": name, "params": parameters})

    async def _get(self, path: str) -> object:
        return self._value(await self.client.get(f"/session/{self.session}/{path}"))

    async def _post(self, path: str, body: object) -> object:
        return self._value(await self.client.post(f"/session/{self.session}/{path}", json=body))

    def _value(self, answer: httpx.Response) -> object:
        value: object = answer.json()["value"]
        assert answer.status_code == 200, value
        return value


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    """A browser with an empty profile, while the block runs."""
    program = shutil.which("chromedriver")
    assert program, "chromedriver is not installed: the tests of pages need it (packages chromium and chromium-driver)"
    environment = {**os.environ, "HOME": str(folder)}
    async with await open_process([program, "--port=0"], env=environment, stderr=None) as process:
        try:
            with fail_after(START_SECONDS):
                port = await _port(process)
                async with httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS, trust_env=False
                ) as client:
                    wanted = {"capabilities": {"alwaysMatch": _WANTED}}
                    answer = (await client.post("/session", json=wanted)).json()["value"]
                    assert "sessionId" in answer, answer
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False
            ) as client:
                try:
                    yield Browser(client, answer["sessionId"])
                finally:
                    await client.delete(f"/session/{answer['sessionId']}")
        finally:
            process.terminate()


async def _port(process: Process) -> int:
    assert process.stdout is not None
    said = ""
    async for text in TextReceiveStream(process.stdout):
        said += text
        if "successfully on port " in said and said.endswith("\n"):
            return int(said.partition("successfully on port ")[2].split(".")[0])
    raise AssertionError(f"chromedriver did not start: {said}")
