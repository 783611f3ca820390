"""What a role is told and what it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """The parameters of a role, read with the type it expects."""

    values: dict[str, object]

    def text(self, name: str) -> str:
        value = self.values[name]
        assert isinstance(value, str)
        return value

    def number(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int)
        return value


def answer(**values: float | str) -> None:
    """Tell the parent process."""
    print(json.dumps(values), flush=True)
