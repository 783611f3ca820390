"""Calls the interfaces of another process as if they were of this one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, TypeVar, cast, final

from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.abc import ByteStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from skywire.app.interface import Method, Role, method_of
from skywire.app.typed_json import MisfitError, decode, encode
from skywire.control.frames import MAX_MESSAGE, MessageStream
from skywire.control.messages import Code, cancel, request
from skywire.errors import NetworkError, ProtocolError, SkywireError
from skywire.net.background import Background

T = TypeVar("T")

WAITING: Final = 1024
"""Messages of one call that wait for the caller before the connection waits for them."""

TELL_SECONDS: Final = 1.0
"""For the other process to be told that nobody waits for a call any more."""


class RemoteError(SkywireError):
    """The other process refused a call, or failed at it.

    Args:
        text: why, for people.
        code: in what way.
        kind: the name of the error's class there; empty where it is no error of ours.
        role: that the call needs.
    """

    def __init__(self, text: str, code: int, kind: str, role: Role = Role.ADMIN) -> None:
        super().__init__(text)
        self.code: Final = code
        self.kind: Final = kind
        self.role: Final = role


class NodeGone(NetworkError):
    """The connection to the other process has ended."""


@final
class Client:
    """A connection to an endpoint, see :func:`connected`."""

    def __init__(self, messages: MessageStream) -> None:
        self._messages = messages
        self._last_id = 0
        self._calls: dict[int, MemoryObjectSendStream[dict[str, object]]] = {}
        self._over: str | None = None

    def of(self, interface: Callable[..., T], prefix: str) -> T:
        """The other process's implementation of an interface.

        Args:
            interface: the protocol class (as mypy takes protocols only as callables).
            prefix: as it was offered.
        """
        return cast("T", _Remotes(self, interface, prefix))

    async def call(self, method: Method, arguments: Mapping[str, object]) -> object:
        """Call a method that does not stream.

        Raises:
            RemoteError: it was refused, or failed.
            NodeGone: the connection has ended.
        """
        with self._begin() as (call, answers):
            await self._send(request(call, method.name, _encode_arguments(arguments)))
            try:
                message = await self._next(answers)
            except get_cancelled_exc_class():
                await self._give_up(call)
                raise
        return _read(method, _result_of(message, method.role))

    async def stream(self, method: Method, arguments: Mapping[str, object]) -> AsyncGenerator[object, None]:
        """Call a method that streams; close the generator to end it early."""
        with self._begin() as (call, answers):
            await self._send(request(call, method.name, _encode_arguments(arguments)))
            over = False
            try:
                while True:
                    message = await self._next(answers)
                    if message.get("method") == "end":
                        over = True
                        return
                    if message.get("method") != "item":
                        over = True
                        _result_of(message, method.role)
                    parameters = cast("dict[str, object]", message["params"])
                    yield _read(method, parameters.get("item"))
            finally:
                if not over:
                    await self._give_up(call)

    async def read(self) -> None:
        """Hand out what comes, until the connection ends."""
        try:
            while True:
                self._hand_out(await self._messages.receive())
        except (EndOfStream, ClosedResourceError):
            self._over = "the node has ended the connection"
        except BrokenResourceError:
            self._over = "the connection to the node broke"
        except ProtocolError as error:
            self._over = f"that is no node of ours: {error}"
        finally:  # also when it is cancelled: calls of other tasks may still wait
            self._over = self._over or "the connection to the node was closed"
            for answers in self._calls.values():
                answers.close()

    def _hand_out(self, message: dict[str, object]) -> None:
        parameters = message.get("params")
        call = parameters.get("id") if isinstance(parameters, Mapping) else message.get("id")
        answers = self._calls.get(call) if isinstance(call, int) else None
        if answers is not None:
            try:
                answers.send_nowait(message)
            except WouldBlock:  # others must not wait for who does not read
                answers.close()

    @contextmanager
    def _begin(self) -> Iterator[tuple[int, MemoryObjectReceiveStream[dict[str, object]]]]:
        if self._over is not None:
            raise NodeGone(self._over)
        self._last_id += 1
        call = self._last_id
        answers, received = create_memory_object_stream[dict[str, object]](WAITING)
        self._calls[call] = answers
        try:
            yield call, received
        finally:
            del self._calls[call]
            answers.close()
            received.close()

    async def _send(self, message: dict[str, object]) -> None:
        try:
            await self._messages.send(message)
        except (BrokenResourceError, ClosedResourceError):
            raise NodeGone(self._over or "the connection to the node broke") from None

    async def _give_up(self, call: int) -> None:
        """Tell the other process that nobody waits any more, if it can be told."""
        with move_on_after(TELL_SECONDS, shield=True), suppress(NodeGone):
            await self._send(cancel(call))

    async def _next(self, answers: MemoryObjectReceiveStream[dict[str, object]]) -> dict[str, object]:
        try:
            return await answers.receive()
        except EndOfStream:
            raise NodeGone(self._over or "what came was not read in time") from None


@asynccontextmanager
async def connected(stream: ByteStream, limit: int = MAX_MESSAGE) -> AsyncIterator[Client]:
    """Call another process through a connection while the block runs; it is closed at the end.

    Args:
        stream: the connection.
        limit: bytes of the longest message.
    """
    messages = MessageStream(stream, limit)
    client = Client(messages)
    try:
        async with Background() as task_group:
            task_group.start_soon(client.read)
            yield client
    finally:
        with CancelScope(shield=True):
            await messages.aclose()


class _Remotes:
    """The methods of an interface. Each is read from it when it is first asked for: a command uses one or two."""

    def __init__(self, client: Client, interface: Callable[..., object], prefix: str) -> None:
        self._client = client
        self._interface = interface
        self._prefix = prefix

    def __getattr__(self, name: str) -> _Remote:
        remote = _Remote(self._client, method_of(self._interface, self._prefix, name))
        setattr(self, name, remote)
        return remote


class _Remote:
    """A method of another process."""

    def __init__(self, client: Client, method: Method) -> None:
        self._client = client
        self._method = method

    def __call__(self, *values: object, **arguments: object) -> object:
        method = self._method
        named = dict(zip(method.parameters, values, strict=False)) | arguments
        call = self._client.stream if method.streams else self._client.call
        return call(method, named)


def _encode_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: encode(value) for name, value in arguments.items()}


def _read(method: Method, result: object) -> object:
    try:
        return decode(method.result, result, method.name)
    except MisfitError as error:
        raise ProtocolError(f"{error}; it may be another version of this program that runs there") from None


def _result_of(message: Mapping[str, object], role: Role) -> object:
    error = message.get("error")
    if error is None:
        return message.get("result")
    if not isinstance(error, Mapping):
        raise ProtocolError("a failure of the node says nothing")
    data = error.get("data")
    kind = data.get("kind") if isinstance(data, Mapping) else ""
    code = error.get("code")
    raise RemoteError(str(error.get("message")), code if isinstance(code, int) else Code.DEFECT, str(kind or ""), role)
