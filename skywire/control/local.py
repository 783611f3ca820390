"""Control on this machine: a unix socket for each process, in a folder of the user, where all of them are found.

Whoever can open the socket is the user, or root: they may do everything. There is no TCP port, which any local user or
a web page could reach.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from anyio import BrokenResourceError, CancelScope, create_unix_listener, fail_after, sleep
from anyio.abc import SocketListener, TaskGroup
from anyio.lowlevel import checkpoint
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
PAUSE: Final = 0.1
"""Seconds to wait when a connection cannot be taken, or made, just now."""
LONGEST_PATH: Final = 107
"""Bytes of the longest path that a unix socket can have on Linux."""


_log: Final = logging.getLogger("skywire.control")


class LocalControlError(SkywireError):
    """The socket of a process cannot be made or reached; the text says what to do."""


class NobodyListens(LocalControlError):
    """The process behind a socket is gone."""


def runtime_folder() -> Path:
    """Where the sockets of this user's processes are.

    Raises:
        LocalControlError: the environment names no folder, and the one for such a case is not this user's.
    """
    if named := os.environ.get(RUNTIME_VARIABLE):
        return Path(named)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is a temporary one, where the system has made none for the user
            return user_runtime_path("skywire")
    except OSError as error:
        raise LocalControlError(f"no folder for sockets: {error}; or set {RUNTIME_VARIABLE}") from error


@asynccontextmanager
async def serving_locally(endpoint: Endpoint, path: Path) -> AsyncIterator[None]:
    """Let processes of this user control this one while the block runs.

    Args:
        endpoint: what can be called.
        path: of the socket; its folder is made for this user alone. A socket that nobody listens on is replaced.

    Raises:
        LocalControlError: it cannot be made, or another process has it.
    """

    async def handle(caller: LocalSocket) -> None:
        await endpoint.serve(caller, Role.ADMIN, "a local process")

    async with serving_callers(path, handle):
        yield


@asynccontextmanager
async def serving_callers(path: Path, handler: Callable[[LocalSocket], Awaitable[None]]) -> AsyncIterator[None]:
    """Serve processes of this user on a socket while the block runs.

    Args:
        path: see :func:`listening_locally`.
        handler: serves one of them to its end; a failure of it is logged, and costs nobody else.

    Raises:
        LocalControlError: see :func:`listening_locally`.
    """

    async def take_callers(task_group: TaskGroup) -> None:
        while True:
            task_group.start_soon(_serve_caller, await accept_locally(listener), handler)

    async with listening_locally(path) as listener, Background() as task_group:
        task_group.start_soon(take_callers, task_group)
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


async def accept_locally(listener: SocketListener) -> LocalSocket:
    """The next process that connects; one that cannot be taken just now is waited for."""
    while True:
        try:
            return await LocalSocket.of(await listener.accept())
        except (OSError, BrokenResourceError):  # of the one that was being taken, or no descriptor is left
            await sleep(PAUSE)


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
        NobodyListens: it is of a dead process, or no socket at all.
        LocalControlError: there is none, or it does not answer.
    """
    await checkpoint()
    try:
        with fail_after(ANSWER_SECONDS):
            return await _connect(path)
    except ConnectionRefusedError as error:
        raise NobodyListens(f"nobody can be reached at {path}: {error.strerror}") from error
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
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
    """The processes whose sockets are in a folder and who take connections; sockets of dead ones are removed.

    Raises:
        LocalControlError: the folder cannot be read, or others may have put something there, who would be told secrets.
    """
    found: list[Found] = []
    try:
        facts = os.stat(folder)  # noqa: PTH116 - it is short
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))  # noqa: PTH208 - it is short
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise LocalControlError(f"cannot look into the folder {folder} of sockets: {error.strerror}") from error
    _require_private(folder, facts, {os.getuid(), facts.st_uid} if os.getuid() == 0 else {os.getuid()})
    for name in names:
        path = folder / name
        try:
            async with await connect_locally(path):
                found.append(Found(name.removesuffix(SUFFIX), path))
        except NobodyListens:
            _remove_dead(path)
        except LocalControlError:
            continue  # it may only be busy, and could never be controlled again
    return tuple(found)


async def _connect(path: Path) -> LocalSocket:
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(str(path))  # which needs no waiting, unless too many wait already
            return LocalSocket(sock)
        except BlockingIOError:
            sock.close()
        except BaseException:
            sock.close()
            raise
        await sleep(PAUSE)


async def _serve_caller(caller: LocalSocket, handler: Callable[[LocalSocket], Awaitable[None]]) -> None:
    try:
        await handler(caller)
    except Exception:
        _log.exception("a local process could not be served")
    finally:
        with CancelScope(shield=True):
            await caller.aclose()


def _make_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, so that it does not matter how the sockets in it are made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = os.stat(folder)  # noqa: PTH116 - it is short
    except OSError as error:
        raise LocalControlError(f"cannot make the folder {folder}: {error.strerror}") from error
    _require_private(folder, facts, {os.getuid()})


def _require_private(folder: Path, facts: os.stat_result, owners: Collection[int]) -> None:
    if facts.st_uid not in owners or stat.S_IMODE(facts.st_mode) & 0o077:
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
    except NobodyListens:
        _remove_dead(path)
    except LocalControlError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return
        raise LocalControlError(f"another process may control {path}: is this running already? {error}") from error
    else:
        raise LocalControlError(f"another process controls {path}: is this running already?")


def _remove_dead(path: Path) -> None:
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
