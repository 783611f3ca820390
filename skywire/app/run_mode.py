"""The three ways in which one app definition can run, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final, final


@final
@unique
class RunMode(StrEnum):
    """How an app runs."""

    VISOR_APP = "visor-app"
    """Inside a visor, on its networks and under its key."""
    DMSG_STANDALONE = "dmsg-standalone"
    """A process of its own with a dmsg client of its own."""
    TCP_STANDALONE = "tcp-standalone"
    """A process of its own on key-encrypted TCP, without any overlay."""


@final
@unique
class Identity(StrEnum):
    """Whose key an app proves to its peers."""

    VISOR = "visor"
    """That of the visor."""
    OWN = "own"
    """One of its own. Never that of a visor on this machine: the newer session would evict the visor's."""
    OWN_OR_VISOR = "own or visor"
    """Either; on direct connections nobody is evicted."""


@final
@dataclass(frozen=True, slots=True)
class ModeRule:
    """What a run-mode means.

    Args:
        networks: names of those it can be reached by.
        identity: whose key it proves.
        command: what starts it, with the name of the definition behind, for messages.
    """

    networks: frozenset[str]
    identity: Identity
    command: str


MODE_RULES: Final[Mapping[RunMode, ModeRule]] = MappingProxyType(
    {
        RunMode.VISOR_APP: ModeRule(frozenset({"dmsg", "skynet"}), Identity.VISOR, "skywire app add"),
        RunMode.DMSG_STANDALONE: ModeRule(frozenset({"dmsg"}), Identity.OWN, "dmsg"),
        RunMode.TCP_STANDALONE: ModeRule(frozenset({"tcp"}), Identity.OWN_OR_VISOR, "standalone"),
    }
)
"""The one table of modes; all programs go by it. Networks are never mixed: a peer picks the way, not the app."""
