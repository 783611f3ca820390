"""The command ``update``: changes of a configuration that leave all else in it as it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from skywire.app.api import Warned
from skywire.app.interface import Role
from skywire.cli.config.options import ConfigPath, ServicesPath, TestServices, catalogue, config_path, public_keys
from skywire.cli.program import UsageError
from skywire.json_document import Document
from skywire.key_path import KeyPath
from skywire.keys import SecKey
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.file import Edit, as_path, change_file, load_text
from skywire.visor.config.generation import given, with_given
from skywire.visor.config.hiding import is_secret_name
from skywire.visor.config.reading import hint_at, is_list, is_textual
from skywire.visor.config.rows import instances
from skywire.visor.config.schema import VisorConfig
from skywire.visor.config.services import ServicesFile

app = App(name="update", help="Change a configuration, and keep all else in it as it is.")


@app.default
def update(*, config: ConfigPath = None, log_level: str | None = None, public_autoconn: bool | None = None) -> None:
    """Change a configuration, and keep all else in it as it is.

    Parameters
    ----------
    log_level:
        How much is logged: debug, info, warn or error.
    public_autoconn:
        Whether to connect to public nodes by itself.
    """
    values = given(log_level=log_level)
    if public_autoconn is not None:
        values["transport", "public_autoconnect"] = public_autoconn
    if not values:
        raise UsageError("say what to change: see skywire cli config update --help")
    _change(config, lambda document, _: with_given(document, values))


@app.command(name="set")
def set_key(
    key: str, value: Annotated[str, Parameter(allow_leading_hyphen=True)], /, *, config: ConfigPath = None
) -> None:
    """Give a key a value.

    Parameters
    ----------
    key:
        Such as transport.stcpr_port or launcher.apps[0].auto_start.
    value:
        A text as it is, all else as JSON; a list may also be written with commas. - takes it from the first line of the
        standard input, for secrets.
    """
    path = as_path(key)
    read = _read_value(path, value)
    _change(config, lambda document, _: document.put(path, read))


@app.command(name="unset")
def unset_key(key: str, /, *, config: ConfigPath = None) -> None:
    """Take a key out, so that it has its default.

    Parameters
    ----------
    key:
        Such as transport.stcpr_port.
    """
    path = as_path(key)

    def edit(document: Document, _: VisorConfig | None) -> Document:
        if document.find(path) is None:
            raise ConfigError(f"{key[:100]} does not stand there")
        return document.drop(path)

    _change(config, edit)


@app.command(name="hv")
def hypervisors(
    *,
    add: Annotated[str, Parameter(name=["--add", "-+"])] = "",
    reset: Annotated[bool, Parameter(name=["--reset", "-r"], negative="")] = False,
    config: ConfigPath = None,
) -> None:
    """Say who may control the node from afar.

    Parameters
    ----------
    add:
        Keys that may, with commas between them, beside those that may already.
    reset:
        Take all away that may.
    """
    keys = [str(key) for key in public_keys(add)]
    if not keys and not reset:
        raise UsageError("name keys with --add, or take all away with --reset")

    def edit(document: Document, meaning: VisorConfig | None) -> Document:
        before = [] if reset or meaning is None else [str(each) for each in meaning.hypervisors]
        return document.put(("hypervisors",), list(dict.fromkeys([*before, *keys])))

    _change(config, edit)


@app.command(name="svc")
def services(*, services: ServicesPath = None, testenv: TestServices = False, config: ConfigPath = None) -> None:
    """Set the services to use, from a file of upstream."""
    if services is None:
        raise UsageError("name the file with --services")
    found = ServicesFile(services, test=testenv)
    _change(config, lambda document, _: found.apply(document))


@app.command(name="control")
def control(public_key: str, role: str, /, *, config: ConfigPath = None) -> None:
    """Say what a key may do from afar.

    Parameters
    ----------
    public_key:
        Whose.
    role:
        read, control, admin, or none.
    """
    keys = public_keys(public_key)
    roles = [each.name.lower() for each in Role]
    if len(keys) != 1 or role not in {"none", *roles}:
        raise UsageError(f"a public key is expected, and one of none, {', '.join(roles)}")
    path: KeyPath = ("control", str(keys[0]))
    _change(config, lambda document, _: document.drop(path) if role == "none" else document.put(path, role))


def _change(config: Path | None, edit: Edit) -> None:
    """Change the file; what would not load, or would break an app, is refused."""
    path = config_path(config)
    is_new = False
    known: set[tuple[str, str]] = set()

    def careful(document: Document, meaning: VisorConfig | None) -> Document:
        nonlocal is_new
        if meaning is not None:
            known.update(map(_without_line, load_text(path, document.text).warnings))
        after = edit(document, meaning)
        is_new = after.text != document.text
        before = {} if meaning is None else _broken(meaning)
        for name, reason in _broken(load_text(path, after.text).config).items():
            if name not in before:
                raise ConfigError(f"{path}: {name} could not run any more: {reason}")
        return after

    for each in change_file(path, careful).warnings:
        if _without_line(each) not in known:
            print(f"warning: {each.place}: {each.text}", file=sys.stderr)
    kept = f"{path} is changed; what was there before is in {path.name}.bak"
    print(kept if is_new else f"{path} says so already", file=sys.stderr)


def _without_line(warned: Warned) -> tuple[str, str]:
    """What is warned about, wherever it stands."""
    return warned.place.rpartition(": ")[2], warned.text


def _broken(config: VisorConfig) -> dict[str, str]:
    found, _ = instances(config, catalogue(), trust=False)
    return {name: each.app.trouble for name, each in found.items() if each.app.trouble is not None}


def _read_value(path: KeyPath, text: str) -> object:
    """A value as people write it, as JSON.

    Raises:
        UsageError: it is secret and stands on the command line, or is neither text nor JSON.
    """
    hint = hint_at(VisorConfig, path)
    if text == "-":
        text = sys.stdin.readline().rstrip("\r\n")
    elif hint is SecKey or is_secret_name(str(path[-1])):
        raise UsageError("a secret is no argument, which others could read: give - and the value on the standard input")
    if is_textual(hint):
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        if hint is object:
            return text
        if is_list(hint) and not text.startswith("["):
            return [each.strip() for each in text.split(",") if each.strip()]
        raise UsageError("JSON is expected, such as 7, true, [] or {}") from None
    return value
