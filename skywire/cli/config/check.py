"""The command ``check``: what is wrong with a configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from skywire.app.api import Warned
from skywire.cli.config.options import ConfigPath, catalogue, config_path
from skywire.cli.program import ExitCode, Json, show_json
from skywire.json_document import Document
from skywire.key_path import parse_path
from skywire.visor.config.errors import ConfigError, WrongSettings
from skywire.visor.config.file import ConfigFile, placed
from skywire.visor.config.rows import instances, is_yet_to_come, row_names
from skywire.visor.config.settings import resolve


def check(*, config: ConfigPath = None, as_json: Json = False) -> None:
    """Tell all that is wrong with a configuration, and what may not be as its writer thinks.

    The exit code is 1 when something is wrong.
    """
    path = config_path(config)
    errors, warnings = findings(path)
    if as_json:
        facts = {"errors": [asdict(each) for each in errors], "warnings": [asdict(each) for each in warnings]}
        show_json({"config_file": str(path.absolute()), **facts})
    elif errors or warnings:
        _show(errors, warnings)
    else:
        print(f"{path} is in order")
    if errors:
        sys.exit(ExitCode.FAILED)


def findings(path: Path) -> tuple[Sequence[Warned], Sequence[Warned]]:
    """The errors and the warnings of a file, apps included."""
    try:
        file = ConfigFile.load(path)
    except WrongSettings as error:
        return error.problems, error.warnings
    except ConfigError as error:
        return [Warned(str(path), str(error))], ()
    errors: list[Warned] = []
    try:
        resolve(file, {}, os.environ)
    except ConfigError as error:
        errors.append(Warned(str(path), str(error)))
    found, notices = instances(file.config, catalogue(), trust=False)
    places = {name: f"launcher.apps[{at}]" for at, name in reversed([*enumerate(row_names(file.config.launcher.apps))])}
    lost = [name for name, each in found.items() if is_yet_to_come(each)]
    told = {name: Warned(places.get(name, name), each.app.trouble) for name, each in found.items() if each.app.trouble}
    errors += _placed(path, file.document, [each for name, each in told.items() if name not in lost])
    return errors, [*file.warnings, *_placed(path, file.document, [*(told[name] for name in lost), *notices])]


def _placed(path: Path, document: Document, found: Sequence[Warned]) -> Sequence[Warned]:
    return placed(path, document, [(parse_path(each.place), each.text) for each in found])


def _show(errors: Sequence[Warned], warnings: Sequence[Warned]) -> None:
    from skywire.cli.control.tables import Column, show_table, text

    rows = [
        [text(word, style), text(each.place), text(each.text)]
        for word, style, found in (("error", "red", errors), ("warning", "yellow", warnings))
        for each in found
    ]
    show_table([Column(""), Column("where", folds=True), Column("what", folds=True)], rows, empty="")
