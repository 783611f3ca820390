"""Who may run programs here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skywire import SecKey
from skywire.apps.pty.access import MOST_KEYS, Access
from skywire.pty.errors import PtyError

pytestmark = pytest.mark.anyio

OWN, FIXED, GUEST, STRANGER = (SecKey.generate().public for _ in range(4))


class Clock:
    """Unix time, as a test says."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "allowed.json"


def access_of(path: Path, clock: Clock | None = None) -> Access:
    return Access(path, OWN, [FIXED], clock or Clock())


async def test_nobody_but_the_node_itself_and_whom_the_options_name(path: Path) -> None:
    access = access_of(path)
    assert [key in access for key in (OWN, FIXED, GUEST)] == [True, True, False]
    assert access.keys() == (FIXED,)


async def test_who_is_allowed_and_denied_is_so_at_once_and_for_good(path: Path) -> None:
    access = access_of(path)
    assert await access.allow(GUEST)
    assert not await access.allow(GUEST)
    assert GUEST in access
    assert GUEST in access_of(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert await access.deny(GUEST, None) == 0
    assert GUEST not in access
    assert GUEST not in access_of(path)
    with pytest.raises(PtyError, match="is not allowed"):
        await access.deny(GUEST, None)


async def test_what_is_denied_for_a_while_comes_back_whatever_happens(path: Path) -> None:
    clock = Clock()
    access = access_of(path, clock)
    await access.allow(GUEST)
    assert await access.deny(GUEST, 60.0) == clock.now + 60
    again = access_of(path, clock)  # after kill -9
    assert GUEST not in again
    assert again.is_denied_for_now(GUEST)
    assert [(each.key, each.why) for each in again.all()] == [(OWN, "own"), (FIXED, "options"), (GUEST, "denied")]
    assert again.keys() == (FIXED,)
    clock.now += 60
    assert GUEST in again
    assert not again.is_denied_for_now(GUEST)


async def test_what_is_denied_for_a_while_can_be_confirmed_or_taken_back(path: Path) -> None:
    clock = Clock()
    access = access_of(path, clock)
    for confirmed in (True, False):
        await access.allow(GUEST)
        await access.deny(GUEST, 60.0)
        if confirmed:
            await access.deny(GUEST, None)
        else:
            await access.allow(GUEST)
        clock.now += 3600
        assert (GUEST in access) is not confirmed


async def test_whom_the_options_name_are_not_for_the_file_to_deny(path: Path) -> None:
    access = access_of(path)
    for key, why in ((OWN, "this node's own"), (FIXED, "named by the option allow")):
        with pytest.raises(PtyError, match=why):
            await access.deny(key, None)


async def test_the_file_is_read_whenever_it_changes(path: Path) -> None:
    access = access_of(path)
    path.write_text(json.dumps({"keys": [str(GUEST)]}))
    path.chmod(0o600)
    assert GUEST in access
    path.unlink()
    assert GUEST not in access


@pytest.mark.parametrize("text", ["{", '{"keys": 5}', '{"keys": ["02zz"]}', '{"people": []}', "[]"])
async def test_a_broken_file_lets_nobody_in_and_is_not_overwritten(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    access = access_of(path)
    assert GUEST not in access
    assert access.trouble is not None
    with pytest.raises(PtyError, match="it would be overwritten"):
        await access.allow(GUEST)
    assert path.read_text() == text


async def test_a_file_that_breaks_keeps_in_who_was_in(path: Path) -> None:
    access = access_of(path)
    await access.allow(GUEST)
    path.write_text("{ half")
    assert GUEST in access
    assert STRANGER not in access
    assert access.trouble is not None


async def test_a_file_that_others_may_write_counts_for_nothing(path: Path) -> None:
    path.write_text(json.dumps({"keys": [str(GUEST)]}))
    path.chmod(0o666)
    access = access_of(path)
    assert GUEST not in access
    assert access.trouble is not None
    assert "chmod 600" in access.trouble


async def test_there_is_a_limit(path: Path) -> None:
    keys = [f"02{number:064x}" for number in range(MOST_KEYS)]
    path.write_text(json.dumps({"keys": [str(GUEST)] * len(keys)}))
    path.chmod(0o600)
    with pytest.raises(PtyError, match="deny some"):
        await access_of(path).allow(STRANGER)
