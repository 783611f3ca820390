"""Secret keys on disk: one file per key, readable by its owner alone, optionally sealed with a passphrase.

A plain file is the 64 hexadecimal characters of the key and a newline. A sealed one is a JSON object: what the key was
sealed with (Argon2id and XSalsa20-Poly1305, as in NaCl's SecretBox), and the public key, so that it can be told which
identity a file holds without its passphrase.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataclasses_json import DataClassJsonMixin

from skywire.errors import InvalidKey, KeyFileError
from skywire.keys import PubKey, SecKey
from skywire.privatefile import PrivateFile

MAX_FILE: Final = 4096
"""Bytes of a key file that are read; a sealed one has about 400."""
MAX_MEMORY: Final = 1 << 29
"""Most bytes of Argon2id memory that a file may ask for, so that a planted file cannot exhaust a small node."""
MAX_WORK: Final = 1 << 31
"""Most bytes of memory times passes that a file may ask for: some seconds."""
OPS: Final = 3
"""Argon2id passes for a new file."""
MEMORY: Final = 64 << 20
"""Bytes of Argon2id memory for a new file; what the smallest nodes can spare."""

_FILE: Final = PrivateFile("key file", MAX_FILE, KeyFileError)
_SALT_SIZE: Final = 16
_FORMAT: Final = "skywire-key-1"


@dataclass(frozen=True)
class _SealedKey(DataClassJsonMixin):
    """The JSON object of a sealed key file; byte strings are hexadecimal."""

    format: str
    public_key: str
    kdf: str
    ops: int
    memory: int
    salt: str
    box: str


def load(path: Path, passphrase: Callable[[], str] | None = None) -> SecKey:
    """Read a key file.

    Args:
        path: the file.
        passphrase: asked only when the file is sealed.

    Raises:
        KeyFileError: missing, not a regular file, open to others, damaged, or the passphrase is missing or wrong.
    """
    text = _FILE.read(path)
    if not text.lstrip().startswith("{"):
        try:
            return SecKey.from_hex(text.strip())
        except InvalidKey as error:
            raise KeyFileError(f"{path} is no key file: {error}") from None
    sealed = _parse(path, text)
    if passphrase is None:
        raise KeyFileError(f"{path} is sealed: give its passphrase")
    return _unseal(path, sealed, passphrase())


def public_key(path: Path) -> PubKey:
    """The public key of a key file, without its passphrase. For a sealed file it is only as good as the file's name.

    Raises:
        KeyFileError: see :func:`load`.
    """
    text = _FILE.read(path)
    if text.lstrip().startswith("{"):
        return _public_key(path, _parse(path, text))
    return load(path).public


def save(path: Path, key: SecKey, *, passphrase: str | None = None, replace: bool = False) -> None:
    """Write a key file, whole or not at all, readable by its owner alone.

    Args:
        path: the file; its folder must exist.
        key: what to write.
        passphrase: seals the file when given; not empty.
        replace: whether a file that is already there may be replaced.

    Raises:
        KeyFileError: it exists and ``replace`` is False, or it cannot be written.
    """
    text = key.expose_hex() + "\n" if passphrase is None else _seal(key, passphrase)
    _FILE.write(path, text, replace=replace)


def _parse(path: Path, text: str) -> _SealedKey:
    damaged = KeyFileError(f"{path} is damaged: it is no sealed key of format {_FORMAT}")
    try:
        raw: object = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged from None
    wanted = {"format": str, "public_key": str, "kdf": str, "ops": int, "memory": int, "salt": str, "box": str}
    if not isinstance(raw, dict) or set(raw) != set(wanted):
        raise damaged
    if any(type(raw[name]) is not kind for name, kind in wanted.items()):
        raise damaged
    sealed = _SealedKey.from_dict(raw)
    if (sealed.format, sealed.kdf) != (_FORMAT, "argon2id"):
        raise damaged
    if not (8192 <= sealed.memory <= MAX_MEMORY and 1 <= sealed.ops <= MAX_WORK // sealed.memory):
        raise KeyFileError(f"{path} asks for more work than allowed: {sealed.ops} passes over {sealed.memory} bytes")
    return sealed


def _public_key(path: Path, sealed: _SealedKey) -> PubKey:
    try:
        return PubKey.from_hex(sealed.public_key)
    except InvalidKey as error:
        raise KeyFileError(f"{path} is damaged: {error}") from None


def _seal(key: SecKey, passphrase: str) -> str:
    from nacl.secret import SecretBox  # loaded only by who has sealed keys

    if not passphrase:
        raise KeyFileError("an empty passphrase protects nothing: give one, or none at all")
    salt = secrets.token_bytes(_SALT_SIZE)
    box = SecretBox(_derive(passphrase, salt, OPS, MEMORY)).encrypt(key.secret)
    sealed = _SealedKey(_FORMAT, key.public.hex(), "argon2id", OPS, MEMORY, salt.hex(), bytes(box).hex())
    return sealed.to_json(indent=1) + "\n"


def _unseal(path: Path, sealed: _SealedKey, passphrase: str) -> SecKey:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    public = _public_key(path, sealed)
    try:
        salt, box = bytes.fromhex(sealed.salt), bytes.fromhex(sealed.box)
        secret = SecretBox(_derive(passphrase, salt, sealed.ops, sealed.memory)).decrypt(box)
        key = SecKey(secret)
    except CryptoError:
        raise KeyFileError(f"wrong passphrase for {path}, or the file is damaged") from None
    except ValueError:
        raise KeyFileError(f"{path} is damaged: it is no sealed key of format {_FORMAT}") from None
    if key.public != public:
        raise KeyFileError(f"{path} is damaged: it names another public key than it holds")
    return key


def _derive(passphrase: str, salt: bytes, ops: int, memory: int) -> bytes:
    import nacl.exceptions
    from nacl.pwhash import argon2id

    try:
        text = passphrase.encode("utf-8")
    except UnicodeEncodeError:
        raise KeyFileError("the passphrase is no valid text") from None
    try:
        return argon2id.kdf(32, text, salt, opslimit=ops, memlimit=memory)
    except nacl.exceptions.RuntimeError:
        raise KeyFileError(f"there is not enough memory to open the key: {memory >> 20} MiB are needed") from None
