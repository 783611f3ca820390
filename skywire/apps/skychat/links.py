"""The connections that a chat has, and which of a peer's is used."""

from __future__ import annotations

from typing import final

from skywire.apps.skychat.limits import LinkLimits
from skywire.apps.skychat.link import Link
from skywire.keys import PubKey
from skywire.wire.skychat import Form


@final
class Links:
    """All live connections.

    When both sides dial at once there are two: both then use the one that the smaller key has dialled, and the other
    side ends its own once nothing is on its way by it.

    Args:
        own: our key.
        limits: counts.
    """

    def __init__(self, own: PubKey, limits: LinkLimits) -> None:
        self._own = own
        self._limits = limits
        self._links: dict[PubKey, list[Link]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def peers(self) -> int:
        """Peers that there is a connection with."""
        return len(self._links)

    def best(self, peer: PubKey) -> Link | None:
        """The connection to use with a peer; None where there is none."""
        links = [link for link in self._links.get(peer, []) if link.live]
        ours_counts = self._own < peer
        return max(enumerate(links), key=lambda each: (each[1].dialled is ours_counts, each[0]))[1] if links else None

    def strangest(self, known: frozenset[PubKey] | set[PubKey]) -> Link | None:
        """The oldest connection with somebody who is not known; None where there is none."""
        strangers = (each for peer, links in self._links.items() if peer not in known for each in links)
        return next((each for each in strangers if each.live), None)

    def doubled(self) -> Link | None:
        """The oldest connection of a peer that has another one, too; None where there is none."""
        several = ([each for each in links if each.live] for links in self._links.values() if len(links) > 1)
        return next((live[0] for live in several if len(live) > 1), None)

    def trim(self, peer: PubKey) -> None:
        """End what we dialled and need no more. What peers of 2024 speak is acknowledged by nothing, so that stays."""
        best = self.best(peer)
        for link in self._links.get(peer, []):
            if link.dialled and link is not best and not link.in_use and link.form is not Form.BARE:
                link.end("another connection with the same peer is used")

    def end_all(self) -> None:
        """End all connections: they do not end by themselves when the chat does."""
        for link in [each for links in self._links.values() for each in links]:
            link.end("the chat ends")

    def renew(self, peer: PubKey) -> None:
        """There is room again for messages of a peer: it is to send again what was not taken."""
        for link in self._links.get(peer, []):
            if link.full:
                link.end("there was no room for messages, and now there is")

    def add(self, link: Link) -> None:
        """Have a connection among them."""
        links = self._links.setdefault(link.peer, [])
        live = [each for each in links if each.live]  # others take a moment to end
        if len(live) >= self._limits.connections_per_peer:
            live[0].end("the peer has made newer connections")
        links.append(link)
        self._count += 1
        self.trim(link.peer)

    def remove(self, link: Link) -> None:
        """Have it among them no more."""
        links = self._links[link.peer]
        links.remove(link)
        self._count -= 1
        if not links:
            del self._links[link.peer]
