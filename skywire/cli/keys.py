"""Commands about keys: make a pair, check a public one."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skywire import keyfile
from skywire.cli.identity import first_line
from skywire.cli.program import Json, UsageError, show_json
from skywire.errors import KeyFileError
from skywire.keys import PubKey, SecKey


def gen_keys(
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    passphrase: Annotated[bool, Parameter(negative="")] = False,
    passphrase_file: Path | None = None,
    replace: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """Make a new key pair.

    Without --out both keys are printed, the public one first. With it the secret key goes to that file alone (readable
    by you only) and the public key is printed.

    Parameters
    ----------
    out:
        The key file to write.
    passphrase:
        Ask for a passphrase and seal the file with it.
    passphrase_file:
        Seal the file with the first line of this file.
    replace:
        Replace the file if it exists. The old key is lost.
    """
    if out is None:
        if passphrase or passphrase_file or replace:
            raise UsageError("a passphrase or --replace is about a key file: name it with --out")
        key = SecKey.generate()
        if as_json:
            show_json({"public_key": key.public.hex(), "secret_key": key.expose_hex()})
        else:
            print(f"{key.public}\n{key.expose_hex()}")
        return
    key = SecKey.generate()
    keyfile.save(out, key, passphrase=_passphrase(passphrase, passphrase_file), replace=replace)
    if as_json:
        show_json({"public_key": key.public.hex(), "key_file": str(out)})
    else:
        print(key.public)
        print(f"the secret key is in {out}", file=sys.stderr)


def check_pk(public_key: str, /, *, as_json: Json = False) -> None:
    """Check a public key: 66 hexadecimal characters that are a point of secp256k1.

    Parameters
    ----------
    public_key:
        The text to check.
    """
    key = PubKey.from_hex(public_key)
    if as_json:
        show_json({"public_key": key.hex(), "valid": True})
    else:
        print(f"valid public key: {key}")


def _passphrase(ask: bool, file: Path | None) -> str | None:
    if ask and file:
        raise UsageError("either ask for a passphrase or name its file, not both")
    if file:
        return first_line(file)
    if not ask:
        return None
    first = getpass.getpass("passphrase: ")
    if getpass.getpass("again: ") != first:
        raise KeyFileError("the two passphrases differ")
    return first
