"""How a configuration fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from skywire.app.api import Warned
from skywire.errors import SkywireError


class ConfigError(SkywireError):
    """A configuration cannot be used or written; the text names the file, and the line and the key where it can."""


@final
class WrongSettings(ConfigError):
    """Values cannot be used.

    Args:
        problems: all of them, at least one; none quotes a secret.
        warnings: what else its writer should know.
    """

    def __init__(self, problems: Sequence[Warned], warnings: Sequence[Warned] = ()) -> None:
        first, more = problems[0], len(problems) - 1
        others = f" (and {more} more: see skywire cli config check)" if more else ""
        super().__init__(f"{first.place}: {first.text}{others}")
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
