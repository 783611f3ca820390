"""``skywire cli visor app arg``: one option of an instance, as users of the Go programs know it."""

from __future__ import annotations

import getpass
import os
from typing import Final

from skywire.app.record import InstanceInfo
from skywire.app.typed_json import MisfitError, from_text
from skywire.cli.control.instance import show_change
from skywire.cli.control.nodes import Node, run_on
from skywire.cli.control.reach import LOCAL, Knowing, Reach
from skywire.cli.control.settings import FROM_FILE, from_file
from skywire.cli.control.visor_app import arranged
from skywire.cli.control.words import visible
from skywire.cli.program import UsageError

REMOVE: Final = "remove"
"""The value that has an option take its default again."""


def autostart(name: str, value: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Whether it starts with the node: on or off."""
    try:
        wanted = from_text(bool, value, "autostart")
    except MisfitError as error:
        raise UsageError(visible(str(error))) from None
    arranged(name, reach, auto_start=wanted is True, knowing=knowing)


def killswitch(name: str, value: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Whether nothing passes beside the VPN: on or off."""
    _set("killswitch", name, value, knowing, reach)


def netifc(name: str, value: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """The network interface that the VPN server uses, or remove."""
    _set("netifc", name, value, knowing, reach)


def pk(name: str, value: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """The public key of the server that it uses, or remove."""
    _set("pk", name, value, knowing, reach)


def secure(name: str, value: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Whether clients are kept from the local network of the VPN server: on or off."""
    _set("secure", name, value, knowing, reach)


def whitelist(name: str, value: str, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """The public keys that it lets in, separated by commas, or remove."""
    _set("whitelist", name, value, knowing, reach)


def passcode(name: str, value: str | None = None, /, *, knowing: Knowing = False, reach: Reach = LOCAL) -> None:
    """Its passcode: typed, or the first line of @FILE, or remove."""
    if value == REMOVE:
        _change("passcode", name, {}, ("passcode",), knowing, reach)
        return
    if value is not None and not value.startswith(FROM_FILE):
        raise UsageError(
            "a passcode is secret, and arguments are not: leave it out to type it, or write @FILE for the first line "
            "of the file"
        )
    _change("passcode", name, {"passcode": _typed() if value is None else from_file(value)}, (), knowing, reach)


def _set(option: str, name: str, value: str, knowing: bool, reach: Reach) -> None:
    if value == REMOVE:
        _change(option, name, {}, (option,), knowing, reach)
    else:
        _change(option, name, {option: value}, (), knowing, reach)


def _change(option: str, name: str, texts: dict[str, str], unset: tuple[str, ...], knowing: bool, reach: Reach) -> None:
    async def work(node: Node) -> InstanceInfo:
        return await node.ask(node.apps.configure(name, texts=texts, unset=unset, knowing=knowing))

    info = run_on(reach, work, instance=name)
    show_change(info, as_json=False)


def _typed() -> str:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise UsageError("there is no terminal to type the passcode at: write @FILE for the first line of it") from None
    try:
        return getpass.getpass("passcode: ")
    except EOFError:
        raise UsageError("no passcode was typed") from None
