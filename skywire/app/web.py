"""Pages of apps for people at this machine: on loopback only, behind one check.

Loopback keeps other machines out, but not what runs here: other users, and the pages of the whole world in the browser
of this one. So each request has to prove that it comes from somebody who was given the address, and from no other page.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, final

from starlette.types import ASGIApp

from skywire.app.local_ports import LocalPorts
from skywire.app.page_check import PageCheck
from skywire.app.page_tokens import PageSession, PageTokens
from skywire.errors import SkywireError
from skywire.http.limits import HttpLimits, SocketLimits
from skywire.http.server import HttpServer
from skywire.net.address import HostPort
from skywire.net.background import Background
from skywire.net.waiter import runs_on_asyncio

PAGE_LIMITS: Final = HttpLimits(connections=64, finish_seconds=2.0, sockets=SocketLimits())
"""What the clients of one page may cost."""


class PageRefused(SkywireError):
    """A page cannot be served so; the text says why."""


@final
class WebPage:
    """A page that is being served.

    Args:
        address: where it is.
        check: what stands before it.
    """

    def __init__(self, address: HostPort, check: PageCheck) -> None:
        self.address: Final = address
        self._check = check

    @property
    def url(self) -> str:
        """The address to give to a browser: good for one use, a new one each time it is asked for. Not for logs."""
        return f"http://{self.address}/?token={self._check.tokens.issue()}"

    @property
    def requests(self) -> int:
        """Requests that have passed the check so far."""
        return self._check.passed

    def __repr__(self) -> str:
        return f"<WebPage at {self.address}>"


@asynccontextmanager
async def serving_page(
    app: ASGIApp,
    where: HostPort,
    *,
    ports: LocalPorts,
    session: PageSession,
    owner: str,
    label: str,
    inline_styles: bool = False,
) -> AsyncIterator[WebPage]:
    """See :meth:`skywire.app.host.AppHost.serve_web`."""
    place = HostPort(_loopback(where), where.port)
    if not runs_on_asyncio():
        raise PageRefused(f"{owner} cannot serve its page on this event loop: pages need asyncio")
    async with ports.listen(place, owner=owner, label=label) as listener:
        ((host, port),) = listener.addresses
        address = HostPort(host, port)
        check = PageCheck(app, address, owner, PageTokens(session), inline_styles=inline_styles)
        server = HttpServer(check, limits=PAGE_LIMITS)
        async with Background() as task_group:
            await task_group.start(server.serve_on, [listener])
            yield WebPage(address, check)


def _loopback(where: HostPort) -> str:
    """The one address to listen on."""
    if where.host.lower() == "localhost":
        return "127.0.0.1"  # a name may stand for two addresses, and then for two ports
    try:
        loopback = ipaddress.ip_address(where.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise PageRefused(
            f"a page listens on a loopback address such as 127.0.0.1, not on {where}: "
            "to reach it from other machines publish it over the network"
        )
    return where.host
