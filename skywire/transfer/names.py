"""Names of files that a peer has chosen, made safe to show and to save under."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_NAME: Final = 200
"""Bytes of UTF-8 that a name has at most: file systems take 255, and the part's endings and a number come behind it."""
UNNAMED: Final = "file"
"""What a file is called when nothing of its name is left."""

_MAX_EXTENSION: Final = 20
_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
_OURS: Final = (".part", ".part.json")
"""How the names end that this package gives to what is not complete."""


def safe_name(name: str) -> str:
    """A name without folder that is safe on the usual systems, as close to the given one as can be.

    What separates folders, commands a terminal, or turns the direction of writing becomes ``_``; dots and blanks at
    both ends are left out; reserved names of Windows and the endings of partial files are changed. It is cut to 200
    bytes, the extension stays.
    """
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if each in _FORBIDDEN or not each.isprintable() else each for each in name)
    name = _cut(name.strip(". ")).rstrip(". ") or UNNAMED
    if _RESERVED.fullmatch(name.partition(".")[0].rstrip()):
        name = _cut(f"_{name}").rstrip(". ")
    return f"{_cut(name, MAX_NAME - 1)}_" if name.lower().endswith(_OURS) else name


def numbered(name: str, number: int) -> str:
    """The name of a further file of that name: ``photo (2).jpg``; for 0 the name itself."""
    if not number:
        return name
    stem, extension = _split(name)
    return f"{stem} ({number}){extension}"


def _split(name: str) -> tuple[str, str]:
    """The stem and the extension with its dot, which is empty where there is none worth keeping."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION:
        return name, ""
    return stem, f"{dot}{extension}"


def _cut(name: str, size: int = MAX_NAME) -> str:
    stem, extension = _split(name)
    return stem.encode()[: size - len(extension.encode())].decode(errors="ignore") + extension
