"""What the commands about the configuration share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from skywire.app.catalogue import Catalogue
from skywire.apps import BUILT_IN
from skywire.cli.program import UsageError
from skywire.errors import InvalidKey
from skywire.keys import PubKey
from skywire.visor.config.settings import find_config

ConfigPath: TypeAlias = Annotated[
    Path | None,
    Parameter(
        name=["--config", "-c"],
        help="The file; else SKYWIRE_CONFIG, ./skywire-config.json if it exists, or the one in your folder.",
    ),
]
ServicesPath: TypeAlias = Annotated[
    Path | None,
    Parameter(name="--services", help="A services-config.json of upstream with the services to use."),
]
TestServices: TypeAlias = Annotated[
    bool, Parameter(name=["--testenv", "-t"], negative="", help="Take the services of the test network out of it.")
]


def config_path(flag: Path | None) -> Path:
    """The file that a command is about."""
    return find_config(flag, os.environ)


def catalogue() -> Catalogue:
    """The apps that there are."""
    return Catalogue(BUILT_IN)


def public_keys(text: str) -> list[PubKey]:
    """Keys with commas between them.

    Raises:
        UsageError: one of them is none.
    """
    try:
        return [PubKey.from_hex(each.strip()) for each in text.split(",") if each.strip()]
    except InvalidKey as error:
        raise UsageError(str(error)) from None
