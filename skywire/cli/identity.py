"""The key that a command works with, and the other secrets that come by files."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Final

from skywire import keyfile
from skywire.cli.program import UsageError
from skywire.errors import InvalidKey, KeyFileError, SkywireError
from skywire.keys import SecKey

MAX_SECRET_FILE: Final = 1024
"""Bytes that are read of a file with one secret line."""


def first_line(file: Path, failed: type[SkywireError] = KeyFileError) -> str:
    """The first line of a file with a passphrase.

    Raises:
        SkywireError: of the class ``failed``: it cannot be read.
    """
    try:
        with file.open("rb") as source:
            return source.read(MAX_SECRET_FILE).decode("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise failed(f"cannot read the passphrase from {file}: {error}") from error


def shared_passphrase(file: Path | None, variable: str) -> str:
    """A passphrase that a service shares with others; empty for none.

    Args:
        file: whose first line it is; it wins.
        variable: the environment variable that it is in otherwise.

    Raises:
        UsageError: the file cannot be read or begins with an empty line, or the passphrase is none.
    """
    if file is None:
        line, source = os.environ.get(variable, ""), variable
    else:
        line, source = first_line(file, UsageError), f"the first line of {file}"
        if not line:
            raise UsageError(f"{source} is empty, and an empty passphrase is none")
    if not line.isprintable():
        raise UsageError(f"{source} has characters that no passphrase has")
    return line


def load_identity(key_file: Path, passphrase_file: Path | None) -> SecKey:
    """The key in a file; its passphrase is in another one, or typed.

    Raises:
        KeyFileError: a file cannot be used, or nobody can type.
    """

    def passphrase() -> str:
        if passphrase_file is not None:
            return first_line(passphrase_file)
        try:
            # Without a terminal, getpass would take it from the standard input, which may be data.
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:
            raise KeyFileError(f"{key_file} is sealed: give its passphrase with --passphrase-file") from None
        try:
            return getpass.getpass("passphrase: ")
        except EOFError:
            raise KeyFileError(f"{key_file} is sealed, and no passphrase was typed") from None

    return keyfile.load(key_file, passphrase)


def identity_from(key_file: Path | None, passphrase_file: Path | None, variable: str) -> SecKey | None:
    """The key in a file, else in an environment variable, else None.

    Raises:
        KeyFileError: a file cannot be used.
        UsageError: the variable holds no key, or a passphrase is given for no file.
    """
    if key_file is not None:
        return load_identity(key_file, passphrase_file)
    if passphrase_file is not None:
        raise UsageError("a passphrase is about a key file: name it with --key-file")
    text = os.environ.get(variable)
    if text is None:
        return None
    try:
        return SecKey.from_hex(text.strip())
    except InvalidKey as error:
        raise UsageError(f"{variable}: {error}") from None


def take_identity(key_file: Path | None, passphrase_file: Path | None, variable: str) -> SecKey | None:
    """The same, for a process that has children: they do not get the variable."""
    try:
        return identity_from(key_file, passphrase_file, variable)
    finally:
        os.environ.pop(variable, None)
