"""How the remote shell opens its page. Who has none loads nothing of the web."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from skywire.app import AppHost, NoOptions
from skywire.apps.pty import PAGE, PtyOptions
from skywire.net.address import HostPort
from skywire.net.errors import ListenError
from skywire.pty.errors import PtyError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from skywire.app.web import WebPage
    from skywire.apps.pty.page_terminals import ConnectTo


@asynccontextmanager
async def serving_terminals(host: AppHost, options: PtyOptions, connect_to: ConnectTo) -> AsyncIterator[WebPage | None]:
    """Serve the page while the block runs, if there is to be one; and answer the command that gives its address.

    Its port is any other where its own is taken: people are given the address, and the shell goes on.
    """
    page: WebPage | None = None

    async def tell(_: NoOptions) -> str:
        if page is None:
            raise PtyError(f"{host.name} has no page: see its log, and set its option local to one as 127.0.0.1:0")
        return page.url

    async with AsyncExitStack() as stack:
        if options.local is not None:
            from skywire.app.web import PageRefused
            from skywire.apps.pty.page_app import page_app
            from skywire.apps.pty.page_terminals import page_terminals

            terminals = await stack.enter_async_context(page_terminals(connect_to, 60.0 * options.keep_minutes))
            app = page_app(terminals)
            try:
                page = await stack.enter_async_context(_page(host, app, options.local))
            except ListenError as error:
                host.log.warning("its page is at another port: %s", error)
                page = await stack.enter_async_context(_page(host, app, replace(options.local, port=0)))
            except PageRefused as error:
                host.log.warning("no page: %s", error)
        host.answer(PAGE, tell)
        yield page


def _page(host: AppHost, app: ASGIApp, where: HostPort) -> AbstractAsyncContextManager[WebPage]:
    return host.serve_web(app, where, label="terminals", inline_styles=True)
