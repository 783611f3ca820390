"""One entry of a log, apart from what keeps logs: who reads them needs no more."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import final


@final
@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry of a log.

    Args:
        time: seconds of Unix time.
        level: as in :mod:`logging`, for instance 30 for a warning.
        text: what was said; of several lines for a traceback.
    """

    time: float
    level: int
    text: str

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds")
        return f"{when} {logging.getLevelName(self.level)} {self.text}"
