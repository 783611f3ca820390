"""One attempt of an app instance to run: nothing that the app does in it reaches anybody else."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final, final

from anyio import CancelScope, Event, TaskInfo, get_cancelled_exc_class, get_current_task, move_on_after
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint_if_cancelled

from skywire.app.host import AppHost
from skywire.app.instance import AppInstance, InstanceFailed
from skywire.app.loaded import Configured
from skywire.app.ownership import on_behalf_of
from skywire.app.places import frames_of, place_of
from skywire.app.status import AppStatus, check_status

_INNERMOST: Final = 3
"""Places of a stack that are told, counted from where it waits."""


@final
class Attempt:
    """Runs a new instance, once.

    Args:
        app: what to run.
        host: what the instance gets.
        started: called when it has reported that it serves.
    """

    def __init__(self, app: Configured, host: AppHost, started: Callable[[], None]) -> None:
        self.host: Final = host
        self.over: Final = Event()
        """Set when nothing of it is left."""
        self.settled: Final = Event()
        """Set when it serves, or is over."""
        self.failure: str | None = None
        """Why it is over; None when it was told to end, and did."""
        self.stopping = False
        """Whether it was told to end."""
        self._app = app
        self._started = started
        self._scope = CancelScope()
        self._instance: AppInstance | None = None
        self._task: TaskInfo | None = None

    async def run(self) -> None:
        """Run it to its end. Raises nothing of what the app raises, a cancellation from outside excepted."""
        self._task = get_current_task()
        failure: str | None = "it ended without having been told to"
        try:
            with on_behalf_of(self.host.name), self._scope:
                # It may have been told to end before it began.
                if not self.stopping:
                    self._instance = self._app.create(self.host)
                    await self._instance.start(task_status=_Started(self._report))
        except get_cancelled_exc_class():
            await checkpoint_if_cancelled()
            failure = "it was cancelled, and not by the launcher"
        except SystemExit as error:
            failure = f"it tried to end the whole process: SystemExit({error.code})"
        except InstanceFailed as error:
            failure = str(error)
        except Exception as error:
            failure = describe(error)
            self.host.log.exception("%s failed", self.host.name)
        except BaseExceptionGroup as error:
            if error.subgroup(KeyboardInterrupt) is not None:
                raise
            await checkpoint_if_cancelled()
            failure = describe(error)
            self.host.log.exception("%s failed", self.host.name)
        finally:
            if not self.stopping and self.failure is None:
                self.failure = failure
            self.settled.set()
            self.over.set()

    async def stop(self, task_group: TaskGroup, grace: float, limit: float) -> bool:
        """Have it end: first ask, then cancel.

        Args:
            task_group: for the asking, which may last.
            grace: seconds that it has to end by itself.
            limit: seconds that it has to clean up once it is cancelled.

        Returns:
            Whether it is over.
        """
        self.stopping = True
        asking = CancelScope()
        task_group.start_soon(self._ask, asking)
        with move_on_after(grace):
            await self.over.wait()
        asking.cancel()
        self._scope.cancel()
        with move_on_after(limit):
            await self.over.wait()
        return self.over.is_set()

    def give_up(self, reason: str) -> None:
        """Remember why it is about to be ended, as a failure."""
        self.failure = reason

    def status(self) -> AppStatus:
        """What the instance says of itself."""
        if self._instance is None:
            return AppStatus()
        try:
            status = self._instance.status()
        except Exception as error:
            return AppStatus(f"it cannot tell how it is: {describe(error)}")
        trouble = check_status(status)
        return status if trouble is None else AppStatus(f"it cannot tell how it is: {trouble}")

    def where(self) -> str:
        """The innermost places where it waits now, for people."""
        frames = () if self._task is None else frames_of(self._task.coro)
        return " > ".join(place_of(each) for each in frames[-_INNERMOST:]) or "nowhere"

    async def _ask(self, scope: CancelScope) -> None:
        with scope:
            instance = self._instance
            if instance is None:
                self._scope.cancel()
                return
            try:
                await instance.stop()
            except get_cancelled_exc_class():
                await checkpoint_if_cancelled()
            except (Exception, SystemExit) as error:
                self.host.log.warning("%s cannot be asked to stop: %s", self.host.name, describe(error))
                self._scope.cancel()

    def _report(self) -> None:
        if not self.over.is_set() and not self.settled.is_set():
            self.settled.set()
            self._started()


def describe(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return describe(error.exceptions[0])
    return "".join(traceback.format_exception_only(error)).strip().replace("\n", " ")


@final
class _Started(TaskStatus[None]):
    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report

    def started(self, value: None = None) -> None:
        self._report()
