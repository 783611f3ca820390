"""The command ``gen``: a new configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skywire.cli.config.options import ServicesPath, TestServices, config_path, public_keys
from skywire.cli.identity import identity_from
from skywire.cli.program import Json, UsageError, show_json
from skywire.json_document import Document
from skywire.keys import SecKey
from skywire.visor.config.errors import ConfigError
from skywire.visor.config.file import FILE, ConfigFile, Loaded, change_file, load_text
from skywire.visor.config.generation import Given, given, new_document, updated, with_given
from skywire.visor.config.services import ServicesFile
from skywire.visor.config.settings import KEY_VARIABLE


def gen(
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    stdout: Annotated[bool, Parameter(name=["--stdout", "-n"], negative="")] = False,
    regenerate: Annotated[bool, Parameter(name=["--regenerate", "-r"], negative="")] = False,
    force: Annotated[bool, Parameter(name=["--force", "-f"], negative="")] = False,
    key_file: Path | None = None,
    passphrase_file: Path | None = None,
    disc: str | None = None,
    services: ServicesPath = None,
    testenv: TestServices = False,
    hypervisors: Annotated[str, Parameter(name=["--hypervisors", "-j"])] = "",
    loglvl: str | None = None,
    minsess: int | None = None,
    as_json: Json = False,
) -> None:
    """Write a configuration with a new key, and print the public key.

    It names no host unless told so. A file that is there already is kept, unless --regenerate or --force is given.

    Parameters
    ----------
    output:
        The file to write, readable by you only; else the one that all commands use.
    stdout:
        Write to the standard output instead, the secret key included.
    regenerate:
        Bring the file up to date: its key and all that is in it stay, what is missing is filled in, and what is given
        here is set.
    force:
        Replace the file. The old one is kept with .bak behind its name.
    key_file:
        The file with the secret key. Without it, the key is in SKYWIRE_SK, or a new one is made.
    passphrase_file:
        The first line of this file opens the key file; else it is asked for.
    disc:
        The dmsg discovery, as http://HOST:PORT.
    hypervisors:
        Keys that may control the node from afar, with commas between them.
    loglvl:
        How much is logged: debug, info, warn or error.
    minsess:
        Dmsg servers to keep sessions with, 0 for all.
    """
    if stdout + regenerate + force > 1:
        raise UsageError("--stdout, --regenerate and --force exclude each other")
    if stdout and output is not None:
        raise UsageError("either --stdout or --output")
    key = identity_from(key_file, passphrase_file, KEY_VARIABLE)
    values = given(discovery=disc, hypervisors=public_keys(hypervisors), log_level=loglvl, min_sessions=minsess)
    deployment = None if services is None else ServicesFile(services, test=testenv)
    if services is None and testenv:
        raise UsageError("--testenv is about a file of services: name it with --services")
    request = _Request(key, values, deployment)
    path = None if stdout else config_path(output)
    if path is None:
        loaded = request.new(None)
        print(loaded.document.text, end="")
    else:
        loaded = request.regenerated(path) if regenerate else request.written(path, force=force)
        _tell(path, loaded, as_json=as_json)
    if not loaded.config.dmsg.discovery and not loaded.config.dmsg.servers:
        print("no dmsg discovery is set: name one with --disc, or services with --services", file=sys.stderr)


class _Request:
    """What is asked for.

    Args:
        key: the identity; None for a new one.
        values: to be set.
        services: to be set before them.
    """

    def __init__(self, key: SecKey | None, values: Given, services: ServicesFile | None) -> None:
        self._key = key
        self._values = values
        self._services = services

    def new(self, path: Path | None) -> Loaded:
        """A new configuration that is not written yet."""
        document = self._applied(new_document(path, self._key or SecKey.generate()))
        return load_text(path or Path("the configuration"), document.text)

    def written(self, path: Path, *, force: bool) -> Loaded:
        """A new configuration in its file."""
        loaded = self.new(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        FILE.write(path, loaded.document.text, replace=force, keep=True)
        return loaded

    def regenerated(self, path: Path) -> Loaded:
        """The configuration in a file, brought up to date."""
        key = self._key
        own = ConfigFile.load(path).config.sk
        if key is not None and own not in {None, key}:
            raise ConfigError(f"{path} has a key of its own, and --regenerate keeps it: leave the other one away")
        return change_file(path, lambda document, _: self._applied(updated(document, path, key or SecKey.generate())))

    def _applied(self, document: Document) -> Document:
        if self._services is not None:
            document = self._services.apply(document)
        return with_given(document, self._values)


def _tell(path: Path, loaded: Loaded, *, as_json: bool) -> None:
    public = "" if loaded.config.sk is None else str(loaded.config.sk.public)
    if as_json:
        show_json({"public_key": public, "config_file": str(path.absolute())})
    else:
        print(public)
        print(f"the configuration is in {path}", file=sys.stderr)
