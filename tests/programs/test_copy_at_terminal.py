"""``skywire app pty copy`` as its users run it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from skywire.net.address import Address
from tests.programs.pty_places import PtyPair, pty_pair
from tests.programs.screen import at_terminal

CONTENT = random.Random(3).randbytes(9_000_000)


@pytest.fixture(scope="module")
def pair() -> Iterator[PtyPair]:
    with pty_pair() as pair:
        yield pair


def test_both_ways_and_nothing_is_replaced_unless_asked_for(pair: PtyPair, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(CONTENT)
    there, back = tmp_path / "there", tmp_path / "back"
    for words in ((str(tmp_path / "here"), f"{pair.far}/{there}"), (f"{pair.far}/{there}", str(back))):
        done = pair.run("copy", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        again = pair.run("copy", *words)
        assert (again.returncode, b"exists: --force replaces it" in again.stderr) == (255, True), again
        assert pair.run("copy", "--force", *words).returncode == 0
    for path in (there, back):
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(CONTENT).digest()


def test_a_bar_is_shown_at_a_terminal(pair: PtyPair, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    words = pair.words("copy", f"{pair.far}/{tmp_path}/file", str(tmp_path / "copied"))
    with at_terminal(words, pair.client.environment) as terminal:
        terminal.until("9.0/9.0 MB")
        assert terminal.end() == 0
    assert (tmp_path / "copied").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("a", "b", "one of SOURCE and TARGET, and not both, is <public key>:<path>"),
        ("{far}/a", "{far}/b", "one of SOURCE and TARGET, and not both"),
        ("{far}//no/such", "b", "on the host: /no/such: No such file or directory"),
        ("{far}//etc", "b", "/etc is a folder"),
        ("/no/such", "{far}/b", "cannot read /no/such: No such file or directory"),
        ("{key}:a", "b", "names no host"),
    ],
)
def test_what_cannot_be_copied(pair: PtyPair, tmp_path: Path, source: str, target: str, said: str) -> None:
    names = {"far": pair.far, "key": str(Address.parse(pair.far).pk)}
    local = str(tmp_path / target) if target == "b" else target.format(**names)
    done = pair.run("copy", source.format(**names), local)
    assert (done.returncode, said in done.stderr.decode()) == (255, True), done
    assert not list(tmp_path.iterdir())
