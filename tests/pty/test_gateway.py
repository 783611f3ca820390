"""What programs of a host's own machine are given: its terminal, other hosts by its key, and its list of keys."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import final

import anyio
import pytest
from anyio.abc import ByteStream, TaskGroup

from skywire import PubKey, SecKey
from skywire.net.address import Address
from skywire.net.background import Background
from skywire.net.conn import Owner
from skywire.net.errors import PeerRefused, Unreachable
from skywire.net.memory import MEMORY, conn_pair
from skywire.netrpc import CallFailed, calling
from skywire.pty.errors import HostUnreachable, PtyError, Refused
from skywire.pty.far_program import far_program
from skywire.pty.gateway import Gateway
from skywire.pty.opening import ask, hear, refuse
from skywire.wire.pty import whitelist
from skywire.wire.pty.opening import PROXY, PTY, REJECTED, WHITELIST, Request
from skywire.wire.pty.session import Ended, NewSession
from skywire.wire.pty.shell import Command
from tests.pty.far_host import FarHost, all_of, far_host, until_true

pytestmark = pytest.mark.anyio

LOG = logging.getLogger("tests.pty")
PATIENCE = 20.0
KEY = SecKey.generate().public


@final
class Listed:
    """A list of keys."""

    def __init__(self, *keys: PubKey) -> None:
        self._keys = list(keys)

    def keys(self) -> tuple[PubKey, ...]:
        return tuple(sorted(self._keys, key=str))

    async def add(self, keys: Iterable[PubKey]) -> None:
        there = [key for key in keys if key in self._keys]
        self._keys += [key for key in keys if key not in there]
        if there:
            raise PtyError(f"skipping append for {','.join(map(str, there))}. Already exists")

    async def remove(self, keys: Iterable[PubKey]) -> None:
        self._keys = [key for key in self._keys if key not in set(keys)]


@final
class Site:
    """A gateway, and the far host that it reaches.

    Args:
        own: the host whose gateway it is.
        far: another one.
        allowed: the list of keys of the own one.
        tasks: in which it serves.
    """

    def __init__(self, own: FarHost, far: FarHost, allowed: Listed, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self.own = own
        self.far = far
        self.public = SecKey.generate().public
        self.allowed = allowed
        self._gateway = Gateway(own.host, self.public, self._dial, MEMORY, allowed, LOG)

    @asynccontextmanager
    async def _dial(self, address: Address) -> AsyncIterator[ByteStream]:
        if address.pk == KEY:
            raise PeerRefused(address, "this key is not admitted to that port")
        if address != self.far.far:
            raise Unreachable(address, "nobody is there")
        async with self.far.raw(Address(MEMORY, self.public, 1)) as stream:
            yield stream

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[ByteStream]:
        """A connection to it, on which nothing has been said yet."""
        near, there = conn_pair(
            Address(MEMORY, self.public, 1), Owner("program"), Address(MEMORY, self.public, 2), Owner("gateway")
        )
        self._tasks.start_soon(self._gateway.serve, there)
        async with near:
            yield near

    @asynccontextmanager
    async def asked(self, request: Request) -> AsyncIterator[ByteStream]:
        """A connection to it, which gives what is asked for."""
        async with self.raw() as stream:
            await ask(stream, request)
            yield stream


@asynccontextmanager
async def site(*keys: PubKey) -> AsyncIterator[Site]:
    async with far_host() as own, far_host() as far, Background() as tasks:
        yield Site(own, far, Listed(*keys), tasks)


async def test_a_terminal_of_its_own_host() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here:
            async with far_program(lambda: here.asked(Request(PTY)), NewSession(Command("tty"))) as program:
                assert b"/dev/pts/" in await all_of(program)
                assert [each.owner for each in here.own.sessions.all] == [here.public]
            assert not here.far.sessions.all


async def test_other_hosts_by_key_and_port_or_by_address() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here:
            address = here.far.far
            for query in ({"pk": str(address.pk), "port": str(address.port)}, {"address": str(address)}):
                wish = NewSession(Command("sh", ("-c", "echo $SKYWIRE_PTY_PEER; exit 4")), terminal=False)
                async with far_program(partial(here.asked, Request(PROXY, query)), wish) as program:
                    assert (await all_of(program)).decode() == f"{here.public}\n"
                    assert await program.wait() == Ended(4)
            assert not here.own.sessions.all


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({}, "public key"),
        ({"pk": "zz", "port": "22"}, "public key"),
        ({"pk": str(KEY), "port": "x"}, "a port is 1 to 65535, this is 'x'"),
        ({"pk": str(KEY), "port": "70000"}, "port"),
        ({"pk": str(KEY), "port": "-1"}, "a port is 1 to 65535, this is '-1'"),
        ({"address": "nowhere"}, "nowhere"),
        ({"address": "\x1b[2Jx"}, r"\\x1b\[2J"),
    ],
)
async def test_what_names_no_host(query: dict[str, str], why: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here:
            with pytest.raises(Refused, match=why):
                async with here.asked(Request(PROXY, query)):
                    pass


async def test_hosts_that_cannot_be_reached_or_say_no() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here:
            other = SecKey.generate().public
            with pytest.raises(HostUnreachable, match="nobody is there"):
                async with here.asked(Request(PROXY, {"pk": str(other), "port": "22"})):
                    pass
            with pytest.raises(Refused, match="not admitted"):
                async with here.asked(Request(PROXY, {"pk": str(KEY), "port": "22"})):
                    pass
            with pytest.raises(Refused, match="this host does not have dmsgpty/whitelist"):
                async with here.asked(Request(PROXY, {"address": str(here.far.far), "path": WHITELIST})):
                    pass


async def test_what_is_not_there() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here:
            with pytest.raises(Refused, match=r"this socket does not have \\x1b\[0m"):
                async with here.asked(Request("\x1b[0m")):
                    pass
            async with here.raw() as stream:
                await stream.send(b"\0")
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()


async def test_the_list_of_keys() -> None:
    one, two = sorted((SecKey.generate().public, SecKey.generate().public), key=str)
    with anyio.fail_after(PATIENCE):
        async with site(one) as here, here.asked(Request(WHITELIST)) as stream, calling(stream) as caller:
            assert await caller.call(whitelist.LIST, None) == (one,)
            with pytest.raises(CallFailed, match=f": skipping append for {one}. Already exists$"):
                await caller.call(whitelist.ADD, (one, two))
            assert await caller.call(whitelist.LIST, None) == (one, two)
            await caller.call(whitelist.REMOVE, (one, KEY))
            assert await caller.call(whitelist.LIST, None) == (two,)


async def test_either_end_ends_both() -> None:
    with anyio.fail_after(PATIENCE):
        async with site() as here:
            request = Request(PROXY, {"address": str(here.far.far)})
            async with here.asked(request) as stream:
                await here.far.break_connections()
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            async with here.asked(request):
                assert here.far.host.clients == 1
            await until_true(lambda: not here.far.host.clients)


async def test_a_reason_is_cut_and_shown_in_one_line() -> None:
    near, far = conn_pair(Address(MEMORY, KEY, 1), Owner("client"), Address(MEMORY, KEY, 2), Owner("host"))

    async def say_no() -> None:
        async with far:
            await hear(far)
            await refuse(far, REJECTED, "line\n\x1b]0;x\x07" + "é" * 1000)

    with anyio.fail_after(PATIENCE):
        async with near, anyio.create_task_group() as tasks:
            tasks.start_soon(say_no)
            with pytest.raises(Refused) as caught:
                await ask(near, Request(PTY))
    assert str(caught.value).startswith(r"line\n\x1b]0;x\x07é")
    assert len(str(caught.value)) <= 520
