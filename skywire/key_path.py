"""Where a value is in JSON, for people and for programs."""

from __future__ import annotations

import json
import re
from typing import Final, TypeAlias

LONGEST_SHOWN: Final = 100
"""Characters of a name that are shown."""

KeyPath: TypeAlias = tuple[str | int, ...]
"""Names of members and indexes of items, from the top."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_STEP: Final = re.compile(r'\.?(?:\[([0-9]{1,6})\]|("(?:[^"\\]|\\.)*")|([^."\[\]]+))')


def show_path(path: KeyPath) -> str:
    """A path for people, such as ``launcher.apps[2].args``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step[:LONGEST_SHOWN]
            text += f".{name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)}"
    return text.removeprefix(".")


def parse_path(text: str) -> KeyPath:
    """Read what :func:`show_path` writes.

    Raises:
        ValueError: it is no path.
    """
    path: list[str | int] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or (step[0].startswith(".") == (at == 0 or step[1] is not None)):
            break
        at = step.end()
        path.append(int(step[1]) if step[1] is not None else json.loads(step[2]) if step[2] is not None else step[3])
    if at < len(text) or not path:
        raise ValueError(f"{text[:LONGEST_SHOWN]!r} is no path of a key, such as launcher.apps[0].name")
    return tuple(path)
