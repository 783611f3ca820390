"""The behaviour of the log server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, final

from anyio import sleep_forever, to_thread
from anyio.abc import TaskStatus
from starlette.types import ASGIApp, Receive, Scope, Send

from skywire import EVERYONE
from skywire.app import AppHost, NoOptions
from skywire.app.web import WebPage
from skywire.apps.log_server import HTTP, PAGE, LogServerOptions
from skywire.apps.log_server.facts import Facts
from skywire.apps.log_server.follows import Follows
from skywire.apps.log_server.network_app import NetworkApp
from skywire.apps.log_server.page_app import page_app
from skywire.errors import SkywireError
from skywire.http.files import Folder
from skywire.http.limits import HttpLimits
from skywire.http.server import http_handler

LIMITS: Final = HttpLimits(connections=256, finish_seconds=2.0)
"""What peers may cost."""


class NoPage(SkywireError):
    """This log server has no page."""


async def serve(host: AppHost, options: LogServerOptions, *, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled."""
    facts, follows = Facts(host), Follows()
    allowed = frozenset({host.public, *options.allow})
    trouble, files = await to_thread.run_sync(_files, options.folder)
    if trouble:
        host.log.warning("%s", trouble)
    report = _Report(host, trouble)
    async with AsyncExitStack() as stack:
        if options.local is not None:
            app = report.counted(page_app(facts))
            report.page = await stack.enter_async_context(host.serve_web(app, options.local, label="log page"))

        async def tell_page(_: NoOptions) -> str:
            if report.page is None:
                raise NoPage(
                    f"{host.name} has no page: set its option local to a loopback address, such as 127.0.0.1:0"
                )
            return report.page.url

        host.answer(PAGE, tell_page)
        handler = http_handler(report.counted(NetworkApp(facts, allowed, files, follows)), limits=LIMITS)
        await stack.enter_async_context(host.serve(HTTP, handler, label="log server", peers=EVERYONE))
        stack.callback(follows.end)  # first of all: what is followed never ends by itself
        report.tell()
        task_status.started()
        await sleep_forever()


def _files(folder: Path | None) -> tuple[str | None, ASGIApp | None]:
    """What is wrong with the folder, and what serves it."""
    if folder is None:
        return None, None
    try:
        return None, Folder(folder)
    except OSError as error:
        return f"its files are not served: {error}", None


@final
class _Report:
    """What the app says of itself."""

    def __init__(self, host: AppHost, trouble: str | None) -> None:
        self.page: WebPage | None = None
        self._host = host
        self._trouble = trouble
        self._requests = 0

    def counted(self, app: ASGIApp) -> ASGIApp:
        """The application, with its requests counted."""

        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            self._requests += 1
            self.tell()
            await app(scope, receive, send)

        return count

    def tell(self) -> None:
        """Tell the launcher."""
        address = None if self.page is None else str(self.page.address)
        self._host.report(self._trouble, page=address, requests=self._requests)
