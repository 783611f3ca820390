"""Key files: what is written, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import nacl.exceptions
import pytest
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from skywire import KeyFileError, SecKey, keyfile

KEY = SecKey(b"\x07" * 32)


@pytest.fixture(autouse=True)
def cheap_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id as weak as it goes: the tests are about the file, not about the cost."""
    monkeypatch.setattr(keyfile, "OPS", 1)
    monkeypatch.setattr(keyfile, "MEMORY", 8192)


def passphrase(text: str) -> Callable[[], str]:
    return lambda: text


def test_plain_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY)
    assert keyfile.load(path) == KEY
    assert keyfile.public_key(path) == KEY.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_sealed_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY, passphrase="pass wörd")
    assert keyfile.load(path, passphrase("pass wörd")) == KEY
    assert keyfile.public_key(path) == KEY.public
    assert KEY.expose_hex() not in path.read_text()
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        keyfile.load(path, passphrase("password"))
    with pytest.raises(KeyFileError, match="give its passphrase"):
        keyfile.load(path)


def test_the_umask_does_not_widen_the_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keyfile.save(tmp_path / "key", KEY)
    finally:
        os.umask(old)
    assert keyfile.load(tmp_path / "key") == KEY


def test_an_existing_file_is_kept_unless_told_so(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY)
    other = SecKey.generate()
    with pytest.raises(KeyFileError, match="exists already"):
        keyfile.save(path, other)
    assert keyfile.load(path) == KEY
    keyfile.save(path, other, replace=True)
    assert keyfile.load(path) == other
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"{mode:04o}.*chmod 600"):
        keyfile.load(path)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"00" * 32, b"zz" * 32, "kéy".encode(), b"1" * 5000, b"{", b"[]", b"{}", b'{"format": 1}'],
)
def test_what_is_no_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "key", content)
    for read in (keyfile.load, keyfile.public_key):
        with pytest.raises(KeyFileError):
            read(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "skywire-key-9", "damaged"),
        ("kdf", "scrypt", "damaged"),
        ("ops", 10**6, "more work than allowed"),
        ("ops", 0, "more work than allowed"),
        ("memory", 1 << 40, "more work than allowed"),
        ("memory", 0, "more work than allowed"),
        ("ops", "3", "damaged"),
        ("ops", True, "damaged"),
        ("salt", "zz", "damaged"),
        ("salt", "00", "damaged"),
        ("box", "00", "passphrase|damaged"),
        ("box", SecretBox(bytes(32)).encrypt(b"short", bytes(24)).hex(), "passphrase|damaged"),
        ("public_key", "02" + "00" * 32, "damaged"),
        ("public_key", SecKey(b"\x08" * 32).public.hex(), "another public key"),
        ("extra", 1, "damaged"),
    ],
)
def test_a_damaged_sealed_file_is_refused(tmp_path: Path, field: str, value: object, message: str) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY, passphrase="p")
    content = json.loads(path.read_text())
    content[field] = value
    write(path, json.dumps(content).encode())
    with pytest.raises(KeyFileError, match=message):
        keyfile.load(path, passphrase("p"))


def test_missing_folders_and_odd_files(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        keyfile.load(tmp_path / "none")
    with pytest.raises(KeyFileError, match="no regular file"):
        keyfile.load(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(KeyFileError, match="no regular file"):
        keyfile.load(fifo)
    with pytest.raises(KeyFileError, match="cannot write"):
        keyfile.save(tmp_path / "none" / "key", KEY)
    with pytest.raises(KeyFileError, match="empty passphrase"):
        keyfile.save(tmp_path / "key", KEY, passphrase="")
    assert [entry.name for entry in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY)
    os.chown(path, 12345, -1)
    with pytest.raises(KeyFileError, match="belongs to another user"):
        keyfile.load(path)


@pytest.mark.parametrize("secret", [bytes(31), bytes(32)], ids=["short", "zero"])
def test_a_sealed_file_that_holds_no_key(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "key"
    keyfile.save(path, KEY, passphrase="p")
    content = json.loads(path.read_text())
    key = argon2id.kdf(32, b"p", bytes.fromhex(content["salt"]), opslimit=content["ops"], memlimit=content["memory"])
    content["box"] = bytes(SecretBox(key).encrypt(secret)).hex()
    write(path, json.dumps(content).encode())
    with pytest.raises(KeyFileError, match="damaged"):
        keyfile.load(path, passphrase("p"))


def test_odd_names_and_texts(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no name of a file"):
        keyfile.load(Path("\0"))
    with pytest.raises(KeyFileError, match="damaged"):
        keyfile.load(write(tmp_path / "deep", b'{"a":' + b"[" * 4000))
    with pytest.raises(KeyFileError, match="no valid text"):
        keyfile.save(tmp_path / "key", KEY, passphrase="\ud800")


def test_more_memory_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Memory allocation error")

    monkeypatch.setattr(argon2id, "kdf", no_memory)
    with pytest.raises(KeyFileError, match="not enough memory"):
        keyfile.save(tmp_path / "key", KEY, passphrase="p")
