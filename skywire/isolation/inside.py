"""The app's process: runs the one app that the process at the other end of the link asks for."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, final

from anyio import BrokenResourceError, CancelScope, Event, connect_unix, sleep_forever
from anyio.abc import TaskGroup

from skywire.app.api import AppsAPI, ConfigAPI, EventsAPI, NetworkAPI, ProcessAPI, VisorAPI
from skywire.app.facility import VISOR_API, Facilities
from skywire.app.interface import Role
from skywire.control.client import connected
from skywire.control.server import Endpoint
from skywire.errors import NetworkError
from skywire.isolation.app_process import AppFailed, AppProcess
from skywire.isolation.attached import TOKEN_FILE, TOKEN_LENGTH
from skywire.isolation.interfaces import (
    HOST_LANE,
    INSTANCE_LANE,
    MAX_LANE_MESSAGE,
    VISOR_LANE,
    HostAPI,
    InstanceAPI,
)
from skywire.isolation.link import DescriptorReceiver
from skywire.isolation.remote import Arrival, RemoteHost
from skywire.net.background import Background
from skywire.net.local_socket import LocalSocket


class NotAttached(NetworkError):
    """The process that was to be attached to does not take us; the text says what to do."""


_NOT_TAKEN: Final = (
    "the other process does not take this one: a token is good for one time and one process, read the file again"
)


async def attach(path: Path, token_file: Path) -> None:
    """Run an app for another process, until it or the app ends.

    Args:
        path: of the socket to attach to.
        token_file: with the token to show, which is good for one time.

    Raises:
        TokenFileError: the file cannot be read.
        NotAttached: nobody is there, or the token is not taken.
        AppFailed: the app failed.
    """
    token = TOKEN_FILE.read(token_file).strip().encode()
    if len(token) != TOKEN_LENGTH:
        raise NotAttached(f"{token_file} holds no token")
    try:
        link = await LocalSocket.of(await connect_unix(path))
    except OSError as error:
        raise NotAttached(f"nobody can be reached at {path}: {error.strerror or error}") from error
    try:
        await link.send(token)
    except BrokenResourceError:
        await link.aclose()
        raise NotAttached(_NOT_TAKEN) from None
    await run_assigned(link)


async def run_assigned(link: LocalSocket, ending: Event | None = None) -> None:
    """Run the app that the process at the other end asks for, until it or the app ends.

    Args:
        link: to that process; closed at the end.
        ending: when it is set, the app is cancelled.

    Raises:
        NotAttached: it does not ask for any.
        AppFailed: the app failed.
    """
    receiver = DescriptorReceiver()
    calling, called = Arrival(), Arrival()
    receiver.expect(HOST_LANE, calling.take)
    receiver.expect(INSTANCE_LANE, called.take)
    process: AppProcess | None = None
    async with link, Background() as tasks:
        visor = _VisorLane(Facilities(), tasks)
        receiver.expect(VISOR_LANE, visor.take)
        with CancelScope() as while_linked:
            tasks.start_soon(_read_link, receiver, link, while_linked)
            host_stream = LocalSocket(await calling.wait())
            async with connected(host_stream, MAX_LANE_MESSAGE) as client:
                instance_stream = LocalSocket(await called.wait())
                host = RemoteHost(client.of(HostAPI, "host"), receiver, tasks)
                process = AppProcess(host, visor.facilities, visor.came, ending or Event())
                endpoint = Endpoint()
                endpoint.offer("instance", InstanceAPI, process)
                tasks.start_soon(endpoint.serve, instance_stream, Role.ADMIN, "the host", MAX_LANE_MESSAGE)
                await process.run()
    if process is None:
        raise NotAttached(_NOT_TAKEN)
    if process.failure is not None:
        raise AppFailed(process.failure)


async def _read_link(receiver: DescriptorReceiver, link: LocalSocket, scope: CancelScope) -> None:
    try:
        await receiver.read(link)
    finally:
        scope.cancel()


@final
class _VisorLane:
    """The visor's interfaces: they come over a socket of their own, and may be withdrawn and come again."""

    def __init__(self, facilities: Facilities, tasks: TaskGroup) -> None:
        self.facilities: Final = facilities
        self.came: Final = Event()
        """Set when they came for the first time."""
        self._tasks = tasks
        self._scope = CancelScope()

    def take(self, sock: socket.socket) -> None:
        self._scope.cancel()
        self._scope = CancelScope()
        self._tasks.start_soon(self._provide, sock, self._scope)

    async def _provide(self, sock: socket.socket, scope: CancelScope) -> None:
        stream = LocalSocket(sock)
        with scope:
            async with connected(stream) as client:
                api = VisorAPI(
                    process=client.of(ProcessAPI, "process"),
                    apps=client.of(AppsAPI, "apps"),
                    network=client.of(NetworkAPI, "network"),
                    config=client.of(ConfigAPI, "config"),
                    events=client.of(EventsAPI, "events"),
                )
                self.facilities.provide(VISOR_API, api)
                self.came.set()
                await sleep_forever()
