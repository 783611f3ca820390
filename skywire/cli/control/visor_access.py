"""Who may control a visor from afar, and how much it logs."""

from __future__ import annotations

from typing import Literal

from skywire.app.interface import Role
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Knowing, Reach
from skywire.cli.control.visor import public_key
from skywire.cli.control.words import LEVELS
from skywire.cli.control.words import level as checked_level
from skywire.cli.program import Json, show_json


def grant(
    key: str,
    role: Literal["read", "control", "admin"],
    /,
    *,
    knowing: Knowing = False,
    reach: Reach = LOCAL,
) -> None:
    """Let a key control the node from afar.

    Parameters
    ----------
    key:
        The public key.
    role:
        read: see how the node is. control: start and stop apps, too. admin: everything.
    """
    public = public_key(key)

    async def work(node: Node) -> None:
        await node.ask(node.config.grant(public, Role[role.upper()], knowing))

    run_on(reach, work)
    print(f"{public}: {role}")


def revoke(key: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Let a key control the node no more.

    Parameters
    ----------
    key:
        The public key.
    """
    public = public_key(key)

    async def work(node: Node) -> None:
        await node.ask(node.config.revoke(public, knowing))

    run_on(reach, work)
    print(f"{public}: revoked")


def grants(*, as_json: Json = False, reach: Reach = LOCAL) -> None:
    """List who may control the node from afar."""
    found = run_on(reach, lambda node: node.ask(node.config.grants()))
    if as_json:
        show_json(
            {
                "grants": [
                    {"key": str(each.key), "role": each.role.name.lower(), "source": each.source} for each in found
                ]
            }
        )
        return
    from skywire.cli.control.tables import Column, show_table, text

    rows = [[text(str(each.key)), text(each.role.name.lower()), text(each.source)] for each in found]
    show_table([Column("key"), Column("role"), Column("from", rank=1)], rows, empty="nobody may control it from afar")


def log_level(level: str, /, *, reach: Reach = LOCAL) -> None:
    """Log from this level on, now and after a restart of the node.

    Parameters
    ----------
    level:
        debug, info, warning, error or critical.
    """
    checked_level(level)
    name = next(each for each in LEVELS if each == level.lower())

    async def work(node: Node) -> None:
        await node.ask(node.config.set_log_level(name))

    run_on(reach, work)
    print(f"log level: {name}")
