"""Key-encrypted TCP: Noise XK straight over TCP, the network without relays. The TCP port alone chooses what is served.

Source: upstream-2026.md section 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Final, final

from anyio import (
    TASK_STATUS_IGNORED,
    BrokenResourceError,
    aclose_forcefully,
    create_task_group,
    fail_after,
    sleep_forever,
)
from anyio.abc import TaskStatus

from skywire.errors import ProtocolError
from skywire.keys import PubKey, SecKey
from skywire.net.address import TCP, Address, HostPort
from skywire.net.conn import Owner
from skywire.net.errors import DialTimeout, HandshakeAborted, PeerRefused, Unreachable
from skywire.net.handshake import initiate
from skywire.net.listening import listen_on
from skywire.net.network import DialOptions, Dispatcher
from skywire.net.record_conn import RecordConn
from skywire.net.tcp import TcpStream, connect
from skywire.pktcp.acceptor import Acceptor, AcceptStats
from skywire.pktcp.limits import Limits


@final
class PkTcpNetwork:
    """See :class:`skywire.net.network.Network`.

    A peer that is not admitted is closed without a word after its handshake, so its dial succeeds and its first
    receive finds the end.

    Args:
        identity: what is proven to peers.
        listen: where ``serve`` takes connections; nowhere by default.
        limits: what strangers may cost.
        require_post_quantum: refuse peers without the post-quantum extension, which are all from before 2026.
    """

    name: Final = TCP

    def __init__(
        self,
        identity: SecKey,
        *,
        listen: Iterable[HostPort] = (),
        limits: Limits = Limits(),
        require_post_quantum: bool = False,
    ) -> None:
        self.public: Final[PubKey] = identity.public
        self._identity = identity
        self._listen = tuple(listen)
        self._limits = limits
        self._require_post_quantum = require_post_quantum
        self._stats = AcceptStats()
        self._addresses: tuple[Address, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where this network listens, with the ports the system chose; empty while it does not serve."""
        return self._addresses

    @property
    def stats(self) -> AcceptStats:
        """Counts of inbound connections, live."""
        return self._stats

    async def dial(self, address: Address, *, owner: Owner, options: DialOptions = DialOptions()) -> RecordConn:
        """See :meth:`skywire.net.network.Network.dial`."""
        if address.network != TCP or address.host is None:
            raise ValueError(f"key-encrypted TCP cannot dial {address}")
        try:
            with fail_after(options.timeout):
                stream = await self._connect(address.host, address.port)
                try:
                    with fail_after(self._limits.handshake_seconds):
                        secured = await initiate(stream, self._identity, address.pk)
                    if self._require_post_quantum and not secured.post_quantum:
                        raise PeerRefused(address, "it does not know the post-quantum extension that is required here")
                    local_host, local_port = stream.local
                    return RecordConn(
                        stream,
                        secured.keys,
                        local=Address(TCP, self.public, local_port, local_host),
                        remote=address,
                        owner=owner,
                        half_close=True,
                        received=secured.received,
                        post_quantum=secured.post_quantum,
                    )
                except BaseException:
                    await aclose_forcefully(stream)
                    raise
        except TimeoutError as error:
            raise DialTimeout(address, "no answer in time") from error
        except OSError as error:
            raise Unreachable(address, _reason(error)) from error
        except (ProtocolError, HandshakeAborted, BrokenResourceError) as error:
            raise PeerRefused(address, f"{error}; is its public key right?") from error

    async def serve(self, dispatcher: Dispatcher, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See :meth:`skywire.net.network.Network.serve`."""
        acceptor = Acceptor(
            self._identity,
            dispatcher,
            limits=self._limits,
            require_post_quantum=self._require_post_quantum,
            stats=self._stats,
        )
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(await listen_on(where)) for where in self._listen]
            self._addresses = tuple(
                Address(TCP, self.public, port, host) for one in listeners for host, port in one.addresses
            )
            stack.callback(self._forget_addresses)
            async with create_task_group() as task_group:
                for listener in listeners:
                    task_group.start_soon(listener.serve, acceptor.serve, task_group, acceptor.make_room)
                task_status.started()
                await sleep_forever()

    def _forget_addresses(self) -> None:
        self._addresses = ()

    async def _connect(self, host: str, port: int) -> TcpStream:
        with fail_after(self._limits.connect_seconds):
            return await connect(host, port)


def _reason(error: OSError) -> str:
    """What went wrong, where the event loop says no more than that all attempts failed."""
    cause = error.__cause__
    if isinstance(cause, ExceptionGroup):
        cause = cause.exceptions[0]
    return str(cause or error)
