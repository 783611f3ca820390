"""The key of an app that runs alone and was given none: made once, and kept with its data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from skywire import keyfile
from skywire.errors import KeyFileError
from skywire.keys import SecKey

KEY: Final = "key"
"""The key file, in the folder of the data."""


def make_own_key(folder: Path) -> Path:
    """The key file of a folder, with a new key in it where there is none; the folder is made, for its owner alone.

    Raises:
        KeyFileError: it cannot be made.
    """
    path = folder / KEY
    if path.exists():
        return path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"cannot make the folder {folder} for a key: {error.strerror}") from error
    try:
        keyfile.save(path, SecKey.generate())
    except KeyFileError:
        if not path.exists():  # else another process has made one at the same moment
            raise
    return path
