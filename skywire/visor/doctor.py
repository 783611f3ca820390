"""Looks for what is wrong with a node, and says what to do about it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync

from skywire.app.api import Finding, Severity, Warned
from skywire.app.facility import Presence
from skywire.app.record import InstanceInfo
from skywire.app.status import State

LITTLE_SPACE: Final = 100 << 20
"""Free bytes below which people should look after their disk."""
NO_SPACE: Final = 10 << 20
"""Free bytes below which logs and changes of the configuration are about to be lost."""
_EXPECTED_ABSENT: Final = frozenset({"skynet", "transports"})


async def examine(
    *,
    presence: Iterable[tuple[str, Presence]],
    instances: Iterable[InstanceInfo],
    warnings: Iterable[Warned],
    folder: Path,
) -> tuple[Finding, ...]:
    """Look at everything; what is well is told as well.

    Args:
        presence: what is known of each facility, by its name.
        instances: of apps.
        warnings: about the configuration.
        folder: of the node's data.
    """
    free = await run_sync(_free_bytes, folder)
    return (
        *(_about_facility(name, known) for name, known in presence),
        *_about_instances(instances),
        *(Finding(each.place, Severity.YELLOW, each.text, "") for each in warnings),
        _about_disk(folder, free),
    )


def _about_facility(name: str, known: Presence) -> Finding:
    if known.absent is not None:
        severity = Severity.GREEN if name in _EXPECTED_ABSENT else Severity.RED
        return Finding(name, severity, f"absent: {known.absent}", "")
    if known.offline is not None:
        hint = "it goes on by itself; look at the network of this machine, and at dmsg in the configuration"
        return Finding(name, Severity.RED, known.offline, hint)
    return Finding(name, Severity.GREEN, "works", "")


def _about_instances(instances: Iterable[InstanceInfo]) -> Iterator[Finding]:
    for info in instances:
        subject = f"app {info.name}"
        match info.state:
            case State.RUNNING:
                yield Finding(subject, Severity.GREEN, "runs", "")
            case State.STOPPED:
                severity = Severity.YELLOW if info.auto_start and info.critical else Severity.GREEN
                yield Finding(subject, severity, "is stopped", f"skywire app {info.name} start")
            case State.STARTING:
                yield Finding(subject, Severity.GREEN, f"starts since {_age(info.since)}: {info.reason}", "")
            case State.DEGRADED:
                yield Finding(subject, Severity.YELLOW, info.reason, "")
            case _:
                severity = Severity.RED if info.critical or info.state is State.STUCK else Severity.YELLOW
                hint = f"skywire app {info.name} log" if info.failures or info.state is State.STUCK else ""
                yield Finding(subject, severity, f"{info.state}: {info.reason}", hint)


def _about_disk(folder: Path, free: int | None) -> Finding:
    if free is None:
        return Finding("disk", Severity.RED, f"{folder} cannot be looked at", "see that it exists and is yours")
    severity = Severity.RED if free < NO_SPACE else Severity.YELLOW if free < LITTLE_SPACE else Severity.GREEN
    hint = "" if severity is Severity.GREEN else "make room, or move local_path to another disk"
    return Finding("disk", severity, f"{free >> 20} MiB are free for {folder}", hint)


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _age(moment: float) -> str:
    return f"{max(0.0, time.time() - moment):.0f} s"
