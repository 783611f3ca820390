"""What a Go client and a Go host said to each other, played against our host and against our client.

The recorded bytes themselves are read and written again in tests/wire. Here it is what our ends do that is compared, so
the numbers that gob gives to types and net/rpc to calls may differ, and so may, as is meant, what is said so below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
import pytest
from anyio.abc import ByteStream

from skywire import PubKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Owner
from skywire.net.memory import MEMORY, conn_pair
from skywire.netrpc import calling
from skywire.pty.errors import Refused
from skywire.pty.far_program import FarProgram, far_program
from skywire.pty.opening import ask
from skywire.wire.gob import RpcMessage, RpcReader, RpcWriter
from skywire.wire.pty import whitelist
from skywire.wire.pty.opening import REJECTED, WHITELIST, Request
from skywire.wire.pty.session import Ended, NewSession
from skywire.wire.pty.shell import ENDED, ENDED_AS_IN_LINUX, READ, Command, WindowSize
from tests.pty.far_host import all_of
from tests.pty.test_gateway import site
from tests.wire.test_gob_rpc import PTY_TRANSCRIPT, decoded

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
CLIENT = PubKey.from_hex(PTY_TRANSCRIPT.text("client_pk"))


@dataclass(frozen=True)
class Session:
    """A recorded one.

    Args:
        opening: the client's first bytes.
        verdict: the host's.
        asked: the calls of the client, with their bytes.
        answered: what the host said to them.
    """

    opening: bytes
    verdict: bytes
    asked: Sequence[tuple[bytes, RpcMessage]]
    answered: Sequence[RpcMessage]


def recorded(beginning: str) -> Session:
    (found,) = (each for each in PTY_TRANSCRIPT.many("sessions") if each.text("note").startswith(beginning))
    opening, verdict, *calls = found.many("bytes")
    client, host = RpcReader(), RpcReader()
    asked = [
        (each.data("bytes"), message)
        for each in calls
        if each.text("dir") == "client_to_host"
        for message in client.receive(each.data("bytes"))
    ]
    answers = (each.data("bytes") for each in calls if each.text("dir") == "host_to_client")
    return Session(
        opening.data("bytes"),
        verdict.data("bytes"),
        asked,
        [message for each in answers for message in host.receive(each)],
    )


# Against our host.


async def next_answer(stream: ByteStream, reader: RpcReader) -> RpcMessage:
    while not (answers := reader.receive(await stream.receive())):
        pass
    (answer,) = answers
    return answer


async def play(stream: ByteStream, session: Session) -> None:
    """Be the recorded client, and expect of the host what the recorded one said."""
    await stream.send(session.opening)
    assert await stream.receive(1) == session.verdict
    reader = RpcReader()
    for (data, _), expected in zip(session.asked, session.answered, strict=True):
        await stream.send(data)
        answer = await next_answer(stream, reader)
        assert (answer.method, answer.seq) == (expected.method, expected.seq)
        if expected.error == ENDED_AS_IN_LINUX:
            # Ours says it as hosts elsewhere do, which Go's client takes for the end as well.
            assert answer.error == ENDED
            continue
        assert answer.error == expected.error
        said, recorded_one = decoded(answer, reply=True)[1], decoded(expected, reply=True)[1]
        if answer.method == READ.name:
            # What a terminal says comes in as many pieces as it happens to, with theirs and with ours.
            assert isinstance(said, bytes)
            assert isinstance(recorded_one, bytes)
            assert said
            assert recorded_one.startswith(said)
        else:
            assert said == recorded_one


async def test_a_remote_pty() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here, here.far.raw() as stream:
            await play(stream, recorded("remote pty over a dmsg stream"))


async def test_a_local_pty() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here, here.raw() as stream:
            await play(stream, recorded("local pty over the unix socket"))


async def test_the_list_of_keys() -> None:
    with anyio.fail_after(PATIENCE):
        async with site(CLIENT) as here, here.raw() as stream:
            await play(stream, recorded("whitelist over the unix socket"))
            assert here.allowed.keys() == ()


async def test_what_is_refused() -> None:
    session = recorded("unknown path over the unix socket")
    assert session.verdict == REJECTED
    with anyio.fail_after(PATIENCE):
        async with site() as here, here.raw() as stream:
            await stream.send(session.opening)
            assert await stream.receive(1) == session.verdict
            # Ours says why; Go's client does not read that.
            assert await stream.receive() == b"this socket does not have nope"
    # A client that is not on the list finds its connection ended, and no byte: it is not let in that far.
    assert recorded("client no longer on the whitelist").verdict == REJECTED


# Against our client.


class RecordedHost:
    """Says what the recorded host said; what that did not know it refuses as Go does."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.asked: list[RpcMessage] = []

    async def serve(self, stream: ByteStream) -> None:
        opening = b""
        while len(opening) < len(self._session.opening):
            opening += await stream.receive(1)
        assert opening == self._session.opening
        await stream.send(self._session.verdict)
        answers = list(self._session.answered)
        reader, writer = RpcReader(), RpcWriter()
        while True:
            for call in reader.receive(await stream.receive()):
                if not any(each.method == call.method for each in self._session.answered):
                    await stream.send(writer.failure(call.method, call.seq, f"rpc: can't find method {call.method}"))
                    continue
                self.asked.append(call)
                (answer, *_) = (each for each in answers if each.method == call.method)
                answers.remove(answer)
                if answer.error:
                    await stream.send(writer.failure(call.method, call.seq, answer.error))
                else:
                    schema, value = decoded(answer, reply=True)
                    await stream.send(writer.response(call.method, call.seq, schema, value))

    @asynccontextmanager
    async def connect(self, request: Request) -> AsyncIterator[ByteStream]:
        near, far = conn_pair(Address(MEMORY, CLIENT, 1), Owner("client"), Address(MEMORY, CLIENT, 22), Owner("host"))

        async def serve() -> None:
            async with far:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await self.serve(far)

        async with Background() as tasks:
            tasks.start_soon(serve)
            async with near:
                await ask(near, request)
                yield near


@asynccontextmanager
async def used(host: RecordedHost, wish: NewSession) -> AsyncIterator[FarProgram]:
    async with far_program(lambda: host.connect(Request("dmsgpty/pty")), wish) as program:
        yield program


def what(calls: Sequence[RpcMessage], *, but: str = "") -> list[object]:
    """Methods and arguments."""
    return [(each.method, decoded(each, reply=False)[1]) for each in calls if each.method != but]


async def test_our_client_at_a_remote_pty() -> None:
    session = recorded("remote pty over a dmsg stream")
    host = RecordedHost(session)
    with anyio.fail_after(PATIENCE):
        async with used(host, NewSession(Command("/bin/echo", ("hi",), WindowSize(80, 24)))) as program:
            assert not program.lasting
            assert program.terminal
            assert await all_of(program) == b"hi\r\n"
            assert await program.wait() == Ended(0)
            await program.end()
    # Ours reads as much at a time as Go's own client; the one that was recorded was another.
    assert what(host.asked, but=READ.name) == what([call for _, call in session.asked], but=READ.name)


async def test_our_client_at_a_local_pty() -> None:
    session = recorded("local pty over the unix socket")
    host = RecordedHost(session)
    with anyio.fail_after(PATIENCE):
        async with used(host, NewSession(Command("/bin/cat"))) as program:
            await program.resize(WindowSize(132, 50))
            await program.send(b"x\n")
            assert await program.receive() == b"x\r\nx\r\n"
            await program.end()
    assert what(host.asked, but=READ.name) == what([call for _, call in session.asked], but=READ.name)


async def test_our_client_and_the_list_of_keys() -> None:
    session = recorded("whitelist over the unix socket")
    host = RecordedHost(session)
    with anyio.fail_after(PATIENCE):
        async with host.connect(Request(WHITELIST)) as stream, calling(stream) as caller:
            assert await caller.call(whitelist.LIST, None) == (CLIENT,)
            (other,) = (key for key in keys_of(session) if key != CLIENT)
            await caller.call(whitelist.ADD, (other,))
            both = await caller.call(whitelist.LIST, None)
            assert set(both) == {CLIENT, other}
            await caller.call(whitelist.REMOVE, both)
    assert what(host.asked) == what([call for _, call in session.asked])


def keys_of(session: Session) -> set[PubKey]:
    answers = [each for each in session.answered if each.method == whitelist.LIST.name]
    return {key for each in answers for key in whitelist.LIST.reply.decode(each.body)}


@pytest.mark.parametrize("beginning", ["unknown path", "client no longer on the whitelist"])
async def test_our_client_is_refused(beginning: str) -> None:
    session = recorded(beginning)
    host = RecordedHost(session)
    with anyio.fail_after(PATIENCE):
        with pytest.raises(Refused, match="is our key on its list"):
            async with host.connect(Request.parse(session.opening[1:])):
                pass
