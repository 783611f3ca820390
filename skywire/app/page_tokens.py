"""What proves that somebody was given the address of a page."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, final

TOKEN_BYTES: Final = 32
_PLACE_BYTES: Final = 12
MOST_TOKENS: Final = 32
"""Tokens of one page that are not used yet; the oldest make room."""


@final
@dataclass(frozen=True, repr=False)
class PageSession:
    """What a page is open with in browsers that have exchanged a token.

    Args:
        secret: what a browser keeps as a cookie.
        place: the folder of the page that the cookie is for. Cookies know hosts, and no ports: what else serves pages
            at this machine, for another user perhaps, would get one that is for all folders.
    """

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES))
    place: str = field(default_factory=lambda: secrets.token_urlsafe(_PLACE_BYTES))


@final
class PageSessions:
    """The sessions of all pages of a process: a page that is open goes on when its app has been started anew."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], PageSession] = {}

    def of(self, owner: str, label: str) -> PageSession:
        """That of one page, the same each time."""
        return self._known.setdefault((owner, label), PageSession())


@final
class PageTokens:
    """The tokens of one page. Each is exchanged once, for what a browser keeps of the session.

    So an address that is found later, in the history of a browser or of a terminal, opens nothing.

    Args:
        session: what they are exchanged for.
    """

    def __init__(self, session: PageSession) -> None:
        self.session: Final = session
        self._unused: deque[str] = deque(maxlen=MOST_TOKENS)
        self._used: deque[str] = deque(maxlen=MOST_TOKENS)

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._unused.append(token)
        return token

    def exchange(self, token: str) -> bool:
        """Use up a token; gives whether it was good."""
        found = _find(token, self._unused)
        if found is None:
            return False
        self._unused.remove(found)
        self._used.append(found)
        return True

    def was_exchanged(self, token: str) -> bool:
        """Whether it was good, lately; it opens nothing any more."""
        return _find(token, self._used) is not None

    def admits_token(self, token: str) -> bool:
        """Whether a token is good and has not been exchanged; it stays so. For programs, which keep no cookies."""
        return _find(token, self._unused) is not None

    def admits_session(self, secret: str) -> bool:
        """Whether that is the secret of the session."""
        return _same(secret, self.session.secret)


def _find(token: str, among: Iterable[str]) -> str | None:
    found = None
    for each in among:  # all of them: how long it takes tells nothing
        if _same(token, each):
            found = each
    return found


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), known.encode())
