"""A discovery without its network: the rules, around a store."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn, final

from anyio import current_time, sleep

from skywire.dmsg.discovery.store import Store, StoreFailed, StoreFull
from skywire.version import __version__
from skywire.wire.discovery import (
    Action,
    Admitted,
    Answer,
    Health,
    Index,
    Reason,
    Route,
    Rules,
    Tombstone,
    Verdict,
    admit_delete,
    admit_post,
    answer_all_servers,
    answer_available_servers,
    answer_health,
    answer_keys,
    asks_short_life,
    judge_delete,
    judge_deregister,
    judge_post,
    refusal,
    requested_key,
)
from skywire.wire.entry import MAX_ENTRY_SIZE, Entry

SWEEP_SECONDS: Final = 10.0
"""Between two sweeps of the store, as upstream."""
LONG_SIZE: Final = 65536
"""Bytes of a list from which on it is long."""
LONG_SECONDS: Final = 5.0
"""For which a long list is given to all who ask."""
FULL: Final = Answer(503, b'{"message":"the discovery is full","code":503}')
"""The answer when the store has no room; Go clients take its text for something unexpected."""

_log: Final = logging.getLogger("skywire.dmsg.discovery")


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, as far as it matters.

    Args:
        route: what for.
        query: of the address, without the question mark.
        body: some bytes more than are allowed are enough to be refused.
        monitor: the header ``NM-PK``.
        proof: the header ``NM-Sign``.
    """

    route: Route
    query: str = ""
    body: bytes = b""
    monitor: str = ""
    proof: str = field(default="", repr=False)


@final
class _List:
    """An answer that all who ask get, made anew for each, but if it is long only every so often.

    Otherwise each who asks and does not read would have one of his own kept in memory.
    """

    def __init__(self, make: Callable[[], Awaitable[Answer]]) -> None:
        self._make = make
        self._long: Answer | None = None
        self._outdated = -math.inf

    async def answer(self, _: Request) -> Answer:
        kept = self._kept()
        if kept is not None:
            return kept
        made = await self._make()
        kept = self._kept()  # by somebody who asked at the same time
        if kept is not None:
            return kept
        if len(made.body) > LONG_SIZE:
            self._long = made
            self._outdated = current_time() + LONG_SECONDS
        return made

    def _kept(self) -> Answer | None:
        if current_time() >= self._outdated:
            self._long = None
        return self._long


@final
class Directory:
    """Answers requests, by the rules, of what is in a store.

    Args:
        store: of the entries; it stays the caller's to close.
        rules: of this discovery.
        clock_ns: Unix time in nanoseconds.
    """

    def __init__(self, store: Store, rules: Rules | None = None, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.rules = Rules() if rules is None else rules
        self.health = Health(clock_ns(), __version__)
        """What is told of the service; may be replaced at any time."""
        self._store = store
        self._clock_ns = clock_ns
        self._is_failing = False
        self._answers: dict[Action, Callable[[Request], Awaitable[Answer]]] = {
            Action.GET_ENTRY: self._entry,
            Action.POST_ENTRY: self._post,
            Action.DELETE_ENTRY: self._delete,
            Action.AVAILABLE_SERVERS: _List(self._available_servers).answer,
            Action.ALL_SERVERS: _List(self._all_servers).answer,
            Action.CLIENTS: _List(self._clients).answer,
            Action.VISORS: _List(self._visors).answer,
            Action.DEREGISTER: self._deregister,
            Action.HEALTH: self._health,
        }

    async def answer(self, request: Request) -> Answer:
        """Answer a request; a store that fails gets it upstream's 'something unexpected happened'."""
        try:
            return await self._answers[request.route.action](request)
        except StoreFull:
            return FULL
        except StoreFailed as error:
            self._note_failure(error)
            return refusal(Reason.UNEXPECTED)

    async def maintain(self, counted: Callable[[int, int], None] | None = None) -> NoReturn:
        """Keep the store clean, until cancelled.

        Args:
            counted: told every time how many clients and how many servers there are.
        """
        while True:
            try:
                await self._store.sweep()
                if counted is not None:
                    counted(await self._store.count(Index.CLIENTS), await self._store.count(Index.SERVERS))
            except StoreFailed as error:
                self._note_failure(error)
            else:
                self._note_success()
            await sleep(SWEEP_SECONDS)

    async def _entry(self, request: Request) -> Answer:
        key = requested_key(request.route.key)
        if isinstance(key, Answer):
            return key
        text = await self._store.entry(key)
        return refusal(Reason.KEY_NOT_FOUND) if text is None else Answer(200, text)

    async def _post(self, request: Request) -> Answer:
        now_ns = self._clock_ns()
        admitted = admit_post(request.body, self.rules, now_ns=now_ns)
        if isinstance(admitted, Answer):
            return admitted
        if len(admitted.entry.to_json()) > MAX_ENTRY_SIZE:  # short escapes have grown: nobody could read it again
            return refusal(Reason.UNEXPECTED)
        entry: Admitted = admitted

        def judge(stored: Entry | None, tombstone: Tombstone | None) -> Verdict:
            return judge_post(
                entry,
                stored,
                self.rules,
                now_ns=now_ns,
                tombstone=tombstone,
                short_life=asks_short_life(request.query),
            )

        return await self._store.change(entry.key, judge)

    async def _delete(self, request: Request) -> Answer:
        admitted = admit_delete(request.body, self.rules, now_ns=self._clock_ns())
        if isinstance(admitted, Answer):
            return admitted
        entry: Admitted = admitted
        return await self._store.change(entry.key, lambda stored, _: judge_delete(entry, stored, self.rules))

    async def _deregister(self, request: Request) -> Answer:
        verdict = judge_deregister(request.monitor, request.proof, request.body, self.rules)
        await self._store.remove(verdict.remove)
        return verdict.answer

    async def _available_servers(self) -> Answer:
        return answer_available_servers(await self._store.servers())

    async def _all_servers(self) -> Answer:
        return answer_all_servers(await self._store.servers())

    async def _clients(self) -> Answer:
        return answer_keys(await self._store.keys(Index.CLIENTS))

    async def _visors(self) -> Answer:
        return answer_keys(await self._store.keys(Index.VISORS))

    async def _health(self, _: Request) -> Answer:
        return answer_health(self.health)

    def _note_failure(self, error: StoreFailed) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.error("%s; requests are refused until it works again", error)

    def _note_success(self) -> None:
        if self._is_failing:
            self._is_failing = False
            _log.warning("the store works again")
