"""Where the file ports of peers are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, final

from skywire.app import AppHost
from skywire.app.run_mode import RunMode
from skywire.apps.skychat import FILES
from skywire.keys import PubKey
from skywire.net.address import MAX_PORT, Address
from skywire.net.conn import Conn
from skywire.net.errors import DialError
from skywire.net.network import DialOptions

_OVERLAY: Final = "dmsg"
_DIAL: Final = DialOptions(timeout=20.0)


class NoWay(DialError):
    """Nothing says where the file port of a peer is."""

    def __init__(self, peer: PubKey) -> None:
        super(DialError, self).__init__(f"on TCP, files need an address of {peer} in the option peers, on both sides")


@final
class FileWays:
    """Connects to file ports.

    Args:
        host: of the app.
        peers: on TCP, where chats are; the file port of each is the one behind that, as it is unless configured.
    """

    def __init__(self, host: AppHost, peers: Iterable[Address]) -> None:
        self._host = host
        self._peers: Mapping[PubKey, Address] = {each.pk: each for each in peers if each.port < MAX_PORT}

    async def dial(self, peer: PubKey) -> Conn:
        """A connection to the file port of a peer.

        Raises:
            DialError: there is none just now.
        """
        return await self._host.dial(self._address(peer), options=_DIAL)

    def _address(self, peer: PubKey) -> Address:
        if self._host.mode is not RunMode.TCP_STANDALONE:
            return Address(_OVERLAY, peer, FILES.overlay or 0)
        if peer not in self._peers:
            raise NoWay(peer)
        chat = self._peers[peer]
        return replace(chat, port=chat.port + 1)
