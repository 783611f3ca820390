"""This process, for whoever controls it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import final

from skywire.app.api import API_VERSION, Hello
from skywire.app.logs import AppLogs, LogLine
from skywire.app.run_mode import RunMode
from skywire.app.tasks import running_tasks
from skywire.control.server import Endpoint
from skywire.keys import PubKey
from skywire.net.conn import CORE


@final
class Process:
    """See :class:`skywire.app.api.ProcessAPI`.

    Args:
        program: what runs, with its version.
        mode: of its apps.
        public: its key.
        endpoint: what can be called.
        logs: what it says.
        halt: has it end, unless the gate refuses; told whether the operator knows what it may cost them.
    """

    def __init__(
        self,
        program: str,
        mode: RunMode,
        public: PubKey,
        *,
        endpoint: Endpoint,
        logs: AppLogs,
        halt: Callable[[bool], None],
    ) -> None:
        self._program = program
        self._mode = mode
        self._public = public
        self._endpoint = endpoint
        self._logs = logs
        self._halt = halt
        self._started = time.time()

    async def hello(self) -> Hello:
        """See the protocol."""
        return Hello(
            api=API_VERSION,
            program=self._program,
            mode=self._mode,
            public=self._public,
            pid=os.getpid(),
            started=self._started,
            methods=self._endpoint.names,
        )

    async def log(self, since: float = 0.0, level: int = 0, last: int | None = None) -> tuple[LogLine, ...]:
        """See the protocol."""
        return tuple(await self._logs.read(CORE.name, since=since, level=level, last=last))

    async def follow_log(self, level: int = 0) -> AsyncIterator[LogLine]:
        """See the protocol."""
        async with aclosing(self._logs.lines(CORE.name, level=level)) as lines:
            async for line in lines:
                yield line

    async def tasks(self) -> tuple[str, ...]:
        """See the protocol."""
        return tuple(str(each) for each in running_tasks())

    async def halt(self, knowing: bool = False) -> None:
        """See the protocol."""
        self._halt(knowing)
