"""Configurations for tests."""

from __future__ import annotations

import json
from pathlib import Path

from skywire.keys import SecKey
from skywire.visor.config.file import ConfigFile

FIXTURES = Path(__file__).parent / "fixtures"
KEY = SecKey(b"\x31" * 32)
ALICE, BOB, CAROL = (str(SecKey(bytes((number,)) * 32).public) for number in (0x32, 0x33, 0x34))


def put(path: Path, content: object, mode: int = 0o600) -> Path:
    """Write a file: text as it is, all else as JSON with a key."""
    if isinstance(content, dict):
        content = json.dumps({"sk": KEY.expose_hex(), **content}, indent="\t")
    assert isinstance(content, str)
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    path.chmod(mode)
    return path


def made(folder: Path, **members: object) -> ConfigFile:
    """A configuration with these members, from a file in a folder."""
    return ConfigFile.load(put(folder / "visor.json", members))


def copied(folder: Path, name: str) -> Path:
    """A fixture as a file of ours."""
    return put(folder / name, (FIXTURES / name).read_text("utf-8"))
