"""Controlling nodes: ``skywire app`` and ``skywire cli visor``.

Modules are imported when a command runs, so the help of each command stands here.
"""

from __future__ import annotations

from typing import Final

from cyclopts import App

from skywire.cli.lazy import add_commands
from skywire.cli.program import new_group

APP_COMMANDS: Final = {
    "ls": "List the app instances of all processes on this machine, or of the node that is named.",
    "add": "Make an app instance, and start it.",
    "definitions": "List what app instances can be made of.",
}
INSTANCE_COMMANDS: Final = {
    "start": "Have it run, and wait until it does, or cannot.",
    "stop": "Have it not run, nor what requires it, and wait until it has ended.",
    "restart": "End it, and what requires it, and have them run again.",
    "status": "Tell how it is, and how it came to be so.",
    "conns": "Tell who is connected to it, and to whom it is.",
    "log": "Tell what it has said.",
    "config": "Tell its options, or give it others. If it runs, it is started again with them.",
    "call": "Give it a command of its own by name, where its definition is not installed here.",
}
ATTACH: Final = {"attach": "Be the process of an app instance that is kept apart from its node."}
REMOVE: Final = {"rm": "Stop an app instance, and forget it."}
VISOR_COMMANDS: Final = {
    "info": "Tell what the node is, and how it is connected.",
    "ver": "Tell the version of the node.",
    "pk": "Tell the public key of the node.",
    "ip": "Tell the address from which a dmsg server sees the node.",
    "ports": "List what the node serves on its networks, and the local ports that it has open.",
    "ping": "Measure round trips from the node to another one, over dmsg.",
    "ready": "Tell whether the node is up, with all that starts by itself; the exit code is 1 when it is not.",
    "doctor": "Look for what is wrong with the node; the exit code is 1 when something is red.",
    "halt": "End the node, as SIGTERM does.",
    "tasks": "List what runs in the node, and where it waits.",
}
RECORD_COMMANDS: Final = {
    "state": "Tell all that is known of the node, as one JSON object.",
    "log": "Tell what the node itself has said; apps have logs of their own.",
    "events": "Tell what happens in the node from now on, until Ctrl-C.",
}
ACCESS_COMMANDS: Final = {
    "grant": "Let a key control the node from afar.",
    "revoke": "Let a key control the node no more.",
    "grants": "List who may control the node from afar.",
    "log-level": "Log from this level on, now and after a restart of the node.",
}
VISOR_APP_COMMANDS: Final = {
    "register": "Make an app instance that runs as a process which others supervise.",
    "deregister": "Stop an app instance, and forget it.",
    "args": "Tell the options of an app instance, or give it others.",
    "env": "Tell the environment variables of an app instance's own process, or give it others.",
}
ARG_COMMANDS: Final = {
    "autostart": "Whether it starts with the node: on or off.",
    "killswitch": "Whether nothing passes beside the VPN: on or off.",
    "netifc": "The network interface that the VPN server uses, or remove.",
    "pk": "The public key of the server that it uses, or remove.",
    "secure": "Whether clients are kept from the local network of the VPN server: on or off.",
    "whitelist": "The public keys that it lets in, separated by commas, or remove.",
    "passcode": "Its passcode: typed, or the first line of @FILE, or remove.",
}
MODULES: Final = {
    "instance": ("start", "stop", "restart", "status", "conns"),
    "log": ("log",),
    "settings": ("config",),
    "own": ("call",),
}
"""Where the commands of one instance are."""
_AS_THEY_ARE: Final = ("stop", "restart", "status", "conns")
"""Commands of one instance that are the same where its name comes behind them."""
_ROOT: Final = "skywire.cli.control"


def add_app_commands(app: App) -> None:
    """Give ``app`` the commands about all instances; those of one are made when it is named."""
    add_commands(app, f"{_ROOT}.listing", APP_COMMANDS)
    add_commands(app, f"{_ROOT}.instance", REMOVE)
    add_commands(app, f"{_ROOT}.attach", ATTACH)


def add_visor_commands(app: App) -> None:
    """Give ``app`` the commands about a visor."""
    add_commands(app, f"{_ROOT}.visor", VISOR_COMMANDS)
    add_commands(app, f"{_ROOT}.visor_record", RECORD_COMMANDS)
    add_commands(app, f"{_ROOT}.visor_access", ACCESS_COMMANDS)
    apps = new_group("app", "Control the app instances; the same as skywire app.")
    app.command(apps)
    add_commands(apps, f"{_ROOT}.listing", {"ls": APP_COMMANDS["ls"]})
    add_commands(apps, f"{_ROOT}.visor_app", {"start": INSTANCE_COMMANDS["start"]})
    add_commands(apps, f"{_ROOT}.instance", {name: INSTANCE_COMMANDS[name] for name in _AS_THEY_ARE} | REMOVE)
    add_commands(apps, f"{_ROOT}.log", {"log": INSTANCE_COMMANDS["log"]})
    add_commands(apps, f"{_ROOT}.visor_app", VISOR_APP_COMMANDS)
    arg = new_group("arg", "Set one option of an app instance.")
    apps.command(arg)
    add_commands(arg, f"{_ROOT}.arg", ARG_COMMANDS)
