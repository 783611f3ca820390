"""Control on this machine: a unix socket for each process, in a folder of the user, where all of them are found.

Whoever can open the socket is the user, or root: they may do everything. There is no TCP port, which any local user or
a web page could reach.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from anyio import connect_unix, create_unix_listener, fail_after
from anyio.abc import SocketListener, SocketStream
from platformdirs import user_runtime_path

from skywire.app.interface import Role
from skywire.control.client import Client, connected
from skywire.control.server import Endpoint
from skywire.errors import SkywireError
from skywire.net.background import Background
from skywire.net.local_socket import LocalSocket

RUNTIME_VARIABLE: Final = "SKYWIRE_RUNTIME_DIR"
"""The environment variable with the folder of the sockets."""
SUFFIX: Final = ".sock"
ANSWER_SECONDS: Final = 5.0
"""For a process on this machine to answer at all."""
LONGEST_PATH: Final = 107
"""Bytes of the longest path that a unix socket can have on Linux."""


class LocalControlError(SkywireError):
    """The socket of a process cannot be made or reached; the text says what to do."""


def runtime_folder() -> Path:
    """Where the sockets of this user's processes are."""
    return Path(os.environ.get(RUNTIME_VARIABLE) or user_runtime_path("skywire"))


@asynccontextmanager
async def serving_locally(endpoint: Endpoint, path: Path) -> AsyncIterator[None]:
    """Let processes of this user control this one while the block runs.

    Args:
        endpoint: what can be called.
        path: of the socket; its folder is made for this user alone. A socket that nobody listens on is replaced.

    Raises:
        LocalControlError: it cannot be made, or another process has it.
    """

    async def handle(stream: SocketStream) -> None:
        await endpoint.serve(await LocalSocket.of(stream), Role.ADMIN, "a local process")

    async with listening_locally(path) as listener, Background() as task_group:
        task_group.start_soon(listener.serve, handle)
        yield


@asynccontextmanager
async def listening_locally(path: Path) -> AsyncIterator[SocketListener]:
    """Listen on a socket for processes of this user while the block runs.

    Args:
        path: of the socket; its folder is made for this user alone. A socket that nobody listens on is replaced.

    Raises:
        LocalControlError: it cannot be made, or another process has it.
    """
    _make_folder(path.parent)
    await _clear(path)
    try:
        listener = await create_unix_listener(path, mode=0o600)
    except OSError as error:
        raise LocalControlError(f"cannot listen on {path}: {error.strerror or error}") from error
    try:
        async with listener:
            yield listener
    finally:
        _remove_dead(path)


@asynccontextmanager
async def controlling(path: Path) -> AsyncIterator[Client]:
    """Control the process behind a socket while the block runs.

    Raises:
        LocalControlError: nobody listens there.
    """
    async with await connect_locally(path) as stream, connected(stream) as client:
        yield client


async def connect_locally(path: Path) -> LocalSocket:
    """Connect to the socket of a process.

    Raises:
        LocalControlError: nobody listens there, or it does not answer.
    """
    try:
        with fail_after(ANSWER_SECONDS):
            return await LocalSocket.of(await connect_unix(path))
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "it does not answer"
        raise LocalControlError(f"nobody can be reached at {path}: {reason}") from error


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A process that can be controlled.

    Args:
        name: of its socket.
        path: of its socket.
    """

    name: str
    path: Path


async def find(folder: Path) -> tuple[Found, ...]:
    """The processes whose sockets are in a folder and who take connections; sockets of dead ones are removed."""
    found: list[Found] = []
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))  # noqa: PTH208 - it is short
    except OSError:
        return ()
    for name in names:
        path = folder / name
        try:
            async with await connect_locally(path):
                found.append(Found(name.removesuffix(SUFFIX), path))
        except LocalControlError:
            _remove_dead(path)
    return tuple(found)


def _make_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, so that it does not matter how the sockets in it are made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError as error:
        raise LocalControlError(f"cannot make the folder {folder}: {error.strerror}") from error
    if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise LocalControlError(
            f"{folder} is open to others: make it yours alone (chmod 700), or set {RUNTIME_VARIABLE} to another folder"
        )


async def _clear(path: Path) -> None:
    """Make room for a socket.

    Raises:
        LocalControlError: somebody listens on it, or it is something else.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise LocalControlError(f"{path} is too long for a socket; set {RUNTIME_VARIABLE} to a shorter folder")
    try:
        async with await connect_locally(path):
            pass
    except LocalControlError:
        _remove_dead(path)  # if there is one
    else:
        raise LocalControlError(f"another process controls {path}: is this running already?")


def _remove_dead(path: Path) -> None:
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
