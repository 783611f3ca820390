"""Answers calls on one connection: JSON-RPC 2.0, with streams as notifications."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Final, final

from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    create_task_group,
    move_on_after,
)
from anyio.abc import ByteStream, TaskGroup

from skywire.app.interface import Method, Role, methods_of
from skywire.app.typed_json import MisfitError, decode, encode
from skywire.control.frames import MAX_MESSAGE, MessageStream
from skywire.control.messages import Code, failure, reply, stream_end, stream_item
from skywire.errors import ProtocolError, SkywireError

MAX_CALLS: Final = 64
"""Calls and streams of one connection that are under way at a time."""

LONGEST_ID: Final = 100
"""Characters of the id of a call; each answer repeats it."""

CLEAN_UP_SECONDS: Final = 5.0
"""For a stream that nobody reads any more to clean up."""

_log: Final = logging.getLogger("skywire.control")


@final
class Endpoint:
    """What can be called in a process: some interfaces, each with what implements it."""

    def __init__(self) -> None:
        self._methods: dict[str, tuple[Method, object]] = {}
        self._answering = 0
        self._answered = Event()

    def offer(self, prefix: str, interface: Callable[..., object], implementation: object) -> None:
        """Let the methods of an interface be called.

        Args:
            prefix: stands before their names.
            interface: the protocol class (as mypy takes protocols only as callables).
            implementation: an object of that protocol.
        """
        for method in methods_of(interface, prefix):
            self._methods[method.name] = (method, implementation)

    @property
    def names(self) -> tuple[str, ...]:
        """What can be called."""
        return tuple(sorted(self._methods))

    def find(self, name: object) -> tuple[Method, object] | None:
        """The method of that name, with what implements it."""
        return self._methods.get(name) if isinstance(name, str) else None

    async def quiet(self) -> None:
        """Wait until nobody is being answered; streams, which may never end, do not count."""
        while self._answering:
            await self._answered.wait()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Somebody is being answered while the block runs."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            answered, self._answered = self._answered, Event()
            answered.set()

    async def serve(self, stream: ByteStream, role: Role, who: str, limit: int = MAX_MESSAGE) -> None:
        """Answer one caller until they leave.

        Args:
            stream: the connection; closed at the end.
            role: of the caller.
            who: the caller, for the log.
            limit: bytes of the longest message.
        """
        await _Caller(self, MessageStream(stream, limit), role, who).serve()


class _Caller:
    def __init__(self, endpoint: Endpoint, messages: MessageStream, role: Role, who: str) -> None:
        self._endpoint = endpoint
        self._messages = messages
        self._role = role
        self._who = who
        self._calls: dict[int | str, CancelScope] = {}

    async def serve(self) -> None:
        async with create_task_group() as task_group:
            try:
                while True:
                    await self._take(await self._messages.receive(), task_group)
            except (EndOfStream, BrokenResourceError, ClosedResourceError):
                pass
            except ProtocolError as error:
                _log.info("%s is no caller: %s", self._who, error)
            finally:
                # Before the calls are over: answers that the caller does not take end by it.
                with CancelScope(shield=True):
                    await self._messages.aclose()
            task_group.cancel_scope.cancel()

    async def _take(self, message: dict[str, object], task_group: TaskGroup) -> None:
        call, name, arguments = message.get("id"), message.get("method"), message.get("params", {})
        if message.get("jsonrpc") != "2.0" or isinstance(call, bool) or not isinstance(call, int | str):
            raise ProtocolError("a call has the version 2.0 and an id")
        if len(str(call)) > LONGEST_ID:
            raise ProtocolError(f"the id of a call has at most {LONGEST_ID} characters")
        if name == "cancel":
            if (scope := self._calls.get(call)) is not None:
                scope.cancel()
            return
        found = self._endpoint.find(name)
        if call in self._calls:
            raise ProtocolError(f"two calls with the id {call}")
        if found is None:
            await self._messages.send(failure(call, Code.NO_SUCH_METHOD, f"there is no method {name!r}"))
        elif found[0].role > self._role:
            text = f"{name} needs the role {found[0].role.name.lower()}, you have {self._role.name.lower()}"
            await self._messages.send(failure(call, Code.FORBIDDEN, text))
        elif len(self._calls) >= MAX_CALLS:
            await self._messages.send(failure(call, Code.BUSY, f"{MAX_CALLS} calls are under way already"))
        else:
            scope = self._calls[call] = CancelScope()
            task_group.start_soon(self._answer, call, scope, *found, arguments)

    async def _answer(
        self, call: int | str, scope: CancelScope, method: Method, implementation: object, arguments: object
    ) -> None:
        try:
            with scope, nullcontext() if method.streams else self._endpoint.answering():
                await self._call(call, method, implementation, arguments)
            if scope.cancelled_caught:
                await self._messages.send(stream_end(call))
        except (BrokenResourceError, ClosedResourceError):
            pass  # the caller has left
        finally:
            del self._calls[call]

    async def _call(self, call: int | str, method: Method, implementation: object, arguments: object) -> None:
        try:
            values = _read_arguments(method, arguments)
            made = getattr(implementation, method.attribute)(**values)
            if method.streams:
                await self._stream(call, made)
            else:
                await self._messages.send(reply(call, encode(await made)))
        except MisfitError as error:
            await self._messages.send(failure(call, Code.WRONG_ARGUMENTS, str(error)))
        except SkywireError as error:
            await self._messages.send(failure(call, Code.REFUSED, str(error), type(error).__name__))
        except (BrokenResourceError, ClosedResourceError):
            raise
        except Exception:
            _log.exception("%s, called by %s, failed", method.name, self._who)
            await self._messages.send(failure(call, Code.DEFECT, f"{method.name} failed; the log of the node has more"))

    async def _stream(self, call: int | str, items: AsyncIterator[object]) -> None:
        try:
            async for item in items:
                await self._messages.send(stream_item(call, encode(item)))
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                with move_on_after(CLEAN_UP_SECONDS, shield=True):
                    await close()
        await self._messages.send(stream_end(call))


def _read_arguments(method: Method, arguments: object) -> dict[str, object]:
    if not isinstance(arguments, Mapping):
        raise MisfitError(f"{method.name}: the arguments are an object, by name")
    for name in arguments:
        if name not in method.parameters:
            raise MisfitError(f"{method.name}.{name}: there is no such argument")
    for name in method.required:
        if name not in arguments:
            raise MisfitError(f"{method.name}.{name}: it is missing")
    return {name: decode(method.parameters[name], value, f"{method.name}.{name}") for name, value in arguments.items()}
