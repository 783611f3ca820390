"""The page of a remote shell, served as its app serves it, in front of a host that a test can break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from anyio.abc import ByteStream
from starlette.types import ASGIApp

from skywire.app.local_ports import LocalPorts
from skywire.app.page_tokens import PageSession
from skywire.app.web import WebPage, serving_page
from skywire.apps.pty.page_app import page_app
from skywire.apps.pty.page_terminals import PageTerminals, page_terminals
from skywire.apps.pty.peers import NoPeer
from skywire.net.address import HostPort
from skywire.pty.far_program import Connect
from skywire.pty.limits import SessionLimits
from tests.pty.far_host import LIMITS, FarHost, far_host

LOOPBACK = HostPort("127.0.0.1", 0)


@dataclass
class Site:
    """See :func:`site`."""

    host: FarHost
    terminals: PageTerminals
    app: ASGIApp
    session: PageSession

    def page(self, where: HostPort = LOOPBACK) -> AbstractAsyncContextManager[WebPage]:
        """Serve the page while the block runs. Browsers that are in stay in from one to the next."""
        return serving_page(
            self.app,
            where,
            ports=LocalPorts(),
            session=self.session,
            owner="pty",
            label="terminals",
            inline_styles=True,
        )


@asynccontextmanager
async def site(limits: SessionLimits = LIMITS, *, keep_seconds: float = 60.0) -> AsyncIterator[Site]:
    """A host, and terminals of a page that are for it, while the block runs."""
    async with far_host(limits) as host:

        def connect_to(peer: str) -> Connect:
            if peer:
                raise NoPeer(f"{peer!r} names no host")

            def connect() -> AbstractAsyncContextManager[ByteStream]:
                return host.connect()

            return connect

        async with page_terminals(connect_to, keep_seconds) as terminals:
            yield Site(host, terminals, page_app(terminals), PageSession())
