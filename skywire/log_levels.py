"""What upstream calls its log levels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

LOG_LEVELS: Final[Mapping[str, int]] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
"""The levels in any letter case, by the numbers of :mod:`logging`."""
