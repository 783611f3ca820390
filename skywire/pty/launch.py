"""What a client's wish for a program means on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from skywire.pty.errors import CannotRun
from skywire.wire.pty.session import NewSession
from skywire.wire.pty.shell import WindowSize

USUAL_SIZE: Final = WindowSize(80, 24)
"""Of a terminal whose client does not say."""

_INHERITED: Final = ("LANG", "LANGUAGE", "PATH", "TMPDIR", "TZ", "XDG_RUNTIME_DIR")
"""Variables of the host that its programs see. Others may hold its secrets."""
_USUAL_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_WORDS: Final = 4096


@final
@dataclass(frozen=True)
class Launch:
    """What to run.

    Args:
        path: of the program.
        words: its name and its arguments.
        environment: all of it.
        folder: where it begins.
        size: of its terminal; None for pipes.
    """

    path: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    size: WindowSize | None


def launch_of(new: NewSession, extra: Mapping[str, str] = MappingProxyType({})) -> Launch:
    """What a client's wish means on this machine.

    Args:
        new: the wish.
        extra: variables that the program sees whatever the client says.

    Raises:
        CannotRun: there is no such program or folder, or a word cannot be passed to one.
    """
    user = pwd.getpwuid(os.getuid())
    shell = user.pw_shell or "/bin/sh"
    command = new.command
    if len(command.arguments) + len(command.environment) > _MOST_WORDS:
        raise CannotRun(f"a command has at most {_MOST_WORDS} words")
    if any("\0" in word for word in (command.name, new.folder, *command.arguments, *command.environment)):
        raise CannotRun("a word of the command has a zero byte")
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment.setdefault("PATH", _USUAL_PATH)
    environment.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name, SHELL=shell)
    if new.terminal:
        environment["TERM"] = "xterm-256color"
    environment.update(_pairs(command.environment))
    environment.update(extra)
    words = (command.name, *command.arguments) if command.name else (shell, "-l", *command.arguments)
    path = shutil.which(words[0], path=environment["PATH"])
    if path is None:
        raise CannotRun(f"{words[0][:200]}: command not found")
    folder = Path(user.pw_dir, new.folder)
    if not os.path.isdir(folder):  # noqa: PTH112 - unlike that of Path, it raises for no name
        if new.folder:
            raise CannotRun(f"{new.folder[:200]}: no such folder")
        folder = Path("/")
    size = (command.size or USUAL_SIZE) if new.terminal else None
    return Launch(path, words, MappingProxyType(environment), str(folder), size)


def _pairs(texts: Iterable[str]) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CannotRun(f"a variable is NAME=value, not {text[:100]!r}")
        pairs[name] = value
    return pairs
