"""When instances that were stopped for a while come back by themselves: kept on disk, so that nothing prevents it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from skywire.errors import SkywireError
from skywire.privatefile import PrivateFile

FILE: Final = "returns.json"
"""Its name, in the folder of the process."""

_log: Final = logging.getLogger("skywire.app")


class ReturnsError(SkywireError):
    """The file of returns cannot be read or written."""


_FILE: Final = PrivateFile("file of returns", 1 << 20, ReturnsError)


@final
class Returns:
    """The moments, in seconds of Unix time, by the name of the instance.

    Args:
        folder: where the file is kept; None to keep it in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE
        self._moments: dict[str, float] = self._read()

    @property
    def moments(self) -> Mapping[str, float]:
        """All of them."""
        return self._moments

    def set(self, name: str, moment: float) -> None:
        """Have an instance come back; once this returns, it will.

        Raises:
            ReturnsError: it cannot be written down, so it must not be stopped either.
        """
        self._write(self._moments | {name: moment})

    def drop(self, name: str) -> None:
        """It is back, or was brought back or removed by somebody."""
        if name in self._moments:
            try:
                self._write({other: moment for other, moment in self._moments.items() if other != name})
            except ReturnsError as error:
                # Started once too often is better than not at all.
                del self._moments[name]
                _log.warning("the return of %s cannot be struck off: %s", name, error)

    def _read(self) -> dict[str, float]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            found = json.loads(_FILE.read(self._path))
            if not isinstance(found, dict):
                raise ReturnsError(f"{self._path} holds no object")
            return {str(name): float(moment) for name, moment in found.items()}
        except (ReturnsError, ValueError, TypeError) as error:
            # Whoever was to come back starts as configured; an operator is not to be locked out by a damaged file.
            _log.warning("%s is passed over, so nothing comes back by it: %s", self._path, error)
            return {}

    def _write(self, moments: dict[str, float]) -> None:
        if self._path is not None:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ReturnsError(f"cannot make the folder {self._path.parent}: {error.strerror}") from error
            _FILE.write(self._path, json.dumps(moments), replace=True)
        self._moments = moments
