"""The configuration of a running node, for whoever controls it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, final

from anyio import CancelScope, Lock

from skywire.app.api import Grant, Warned
from skywire.app.facility import RPC
from skywire.app.interface import Role
from skywire.control.access import Access
from skywire.errors import SkywireError
from skywire.keys import PubKey
from skywire.log_levels import LOG_LEVELS
from skywire.visor.blueprint import Book

CONTROL: Final = "control"
"""The part of the configuration that says who may do what from afar."""
HYPERVISORS: Final = "hypervisors"
"""The part with the keys that may do everything."""


class ConfigurationError(SkywireError):
    """The configuration cannot be changed so; the text says why. Nothing has been changed."""


@final
class Configuration:
    """See :class:`skywire.app.api.ConfigAPI`.

    Args:
        book: where changes are written down; None where nothing outlives the process.
        shown: gives all of it, secrets left out.
        access: who may control the node from afar.
        warnings: what the configuration says and cannot have.
        guard: asks the gate about an action that would take these facilities or instances away.
    """

    def __init__(
        self,
        book: Book | None,
        shown: Callable[[], Mapping[str, object]],
        access: Access,
        warnings: tuple[Warned, ...],
        guard: Callable[[str, tuple[str, ...], bool], None],
    ) -> None:
        self._book = book
        self._shown = shown
        self._access = access
        self._warnings = warnings
        self._guard = guard
        self._changing = Lock()

    async def show(self) -> Mapping[str, object]:
        """See the protocol."""
        return self._shown()

    async def warnings(self) -> tuple[Warned, ...]:
        """See the protocol."""
        return self._warnings

    async def grants(self) -> tuple[Grant, ...]:
        """See the protocol."""
        return self._access.grants

    async def grant(self, key: PubKey, role: Role, knowing: bool = False) -> None:
        """See the protocol."""
        async with self._changing:
            if self._hypervisor(key) and role < Role.ADMIN:
                raise ConfigurationError(
                    f"{key} is one of the hypervisors, which may do everything: revoke it first, then grant it less"
                )
            now = self._access.role(key)
            if now is not None and role < now:
                self._guard(f"letting {key} do less", (RPC.name,), knowing)
            await self._write(f"{CONTROL}.{key}", role.name.lower())
            others = [each for each in self._access.grants if (each.key, each.source) != (key, CONTROL)]
            self._access.replace([*others, Grant(key, role, CONTROL)])

    async def revoke(self, key: PubKey, knowing: bool = False) -> None:
        """See the protocol."""
        async with self._changing:
            if all(each.key != key for each in self._access.grants):
                raise ConfigurationError(f"{key} may not control this node anyway")
            self._guard(f"shutting {key} out", (RPC.name,), knowing)
            others = [each for each in self._access.grants if each.key != key]
            await self._write(f"{CONTROL}.{key}", None)  # first: of a hypervisor it counts for nothing
            if self._hypervisor(key):
                await self._write(HYPERVISORS, [str(each.key) for each in others if each.source == HYPERVISORS])
            self._access.replace(others)

    async def set_log_level(self, level: str) -> None:
        """See the protocol."""
        number = LOG_LEVELS.get(level.lower())
        if number is None:
            raise ConfigurationError(f"there is no log level {level[:20]!r}; there are: {', '.join(LOG_LEVELS)}")
        async with self._changing:
            await self._write("log_level", level)
            logging.getLogger("skywire").setLevel(number)

    def _hypervisor(self, key: PubKey) -> bool:
        return any((each.key, each.source) == (key, HYPERVISORS) for each in self._access.grants)

    async def _write(self, key: str, value: object) -> None:
        if self._book is not None:
            with CancelScope(shield=True):  # what is written counts next, without a wait in between
                await (self._book.unset(key) if value is None else self._book.set(key, value))
