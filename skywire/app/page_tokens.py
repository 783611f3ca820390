"""What proves that somebody was given the address of a page."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from typing import Final, final

TOKEN_BYTES: Final = 32
MOST_TOKENS: Final = 32
"""Tokens of one page that are not used yet; the oldest make room."""


@final
class PageTokens:
    """The tokens of one page. Each is exchanged once, for the secret that a browser keeps as a cookie.

    So an address that is found later, in the history of a browser or of a terminal, opens nothing.
    """

    def __init__(self) -> None:
        self._unused: deque[str] = deque(maxlen=MOST_TOKENS)
        self._session = secrets.token_urlsafe(TOKEN_BYTES)

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._unused.append(token)
        return token

    def exchange(self, token: str) -> str | None:
        """The secret of a session for a token, which is used up by it; None where it is not good."""
        found = self._find(token)
        if found is None:
            return None
        self._unused.remove(found)
        return self._session

    def admits_token(self, token: str) -> bool:
        """Whether a token is good and has not been exchanged; it stays so. For programs, which keep no cookies."""
        return self._find(token) is not None

    def admits_session(self, secret: str) -> bool:
        """Whether that is the secret of a session."""
        return _same(secret, self._session)

    def _find(self, token: str) -> str | None:
        found = None
        for each in self._unused:  # all of them: how long it takes tells nothing
            if _same(token, each):
                found = each
        return found


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), known.encode())
