"""Access to the recorded vectors in ``tests/vectors`` (their origin and fields: ``tests/vectors/README.md``)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VECTORS: Final = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Vector:
    """One JSON object of a vector file, read with the type that the test expects."""

    fields: dict[str, object]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def text(self, name: str) -> str:
        value = self.fields[name]
        assert isinstance(value, str), f"{name} is {value!r}"
        return value

    def data(self, name: str) -> bytes:
        """A byte string, hexadecimal in the file."""
        return bytes.fromhex(self.text(name))

    def number(self, name: str) -> int:
        """An integer, which the files also write as decimal text where JSON readers may round it."""
        value = self.fields[name]
        assert isinstance(value, int | str), f"{name} is {value!r}"
        assert not isinstance(value, bool), f"{name} is {value!r}"
        return int(value)

    def flag(self, name: str) -> bool:
        value = self.fields[name]
        assert isinstance(value, bool), f"{name} is {value!r}"
        return value

    def one(self, name: str) -> Vector:
        return _vector(self.fields[name])

    def many(self, name: str) -> list[Vector]:
        value = self.fields[name]
        assert isinstance(value, list), f"{name} is {value!r}"
        return [_vector(item) for item in value]

    def numbers(self, name: str) -> list[int]:
        value = self.fields[name]
        assert isinstance(value, list), f"{name} is {value!r}"
        return [int(item) for item in value]

    def texts(self, name: str) -> list[str]:
        value = self.fields[name]
        assert isinstance(value, list), f"{name} is {value!r}"
        return [str(item) for item in value]

    def __repr__(self) -> str:
        return f"Vector({self.fields.get('note', list(self.fields))})"


def _vector(value: object) -> Vector:
    assert isinstance(value, dict)
    return Vector({str(name): item for name, item in value.items()})


@functools.cache
def load(name: str) -> Vector:
    """The file ``tests/vectors/<name>``, whose top level is one JSON object."""
    content: object = json.loads((VECTORS / name).read_text("utf-8"))
    return _vector(content)
