"""The apps that come with the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BUILT_IN_APPS: Final[Mapping[str, str]] = {}
"""Their names, each with the place of its definition as ``module:attribute``."""
