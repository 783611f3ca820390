"""Private files: names that are none. What is in them is tested where they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from skywire.errors import KeyFileError
from skywire.privatefile import PrivateFile

FILE = PrivateFile("key file", 100, KeyFileError)


@pytest.mark.parametrize("name", ["", ".", "/", "..", "a\0b"])
@pytest.mark.parametrize("replace", [False, True])
def test_names_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, replace: bool) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyFileError) as caught:
        FILE.write(Path(name), "text", replace=replace, keep=replace)
    if name != "..":
        assert str(caught.value) == f"{str(Path(name))!r} is no name of a file"
    assert list(tmp_path.iterdir()) == []
