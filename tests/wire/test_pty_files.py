"""What is said of files that are copied: it comes back as it was, and what is out of range is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import LocalProtocolError
from skywire.wire.gob import GobError, RpcReader, RpcWriter
from skywire.wire.gob.method import Shape
from skywire.wire.pty import files
from skywire.wire.pty.files import MAX_NAME, MAX_PATH, OFFER, WANT, Offered, Want, Wanted
from skywire.wire.pty.opening import FILES, Request
from skywire.wire.pty.session import MAX_OFFSET

T = TypeVar("T")

IDS = st.from_regex(r"[0-9A-Za-z]{16,64}", fullmatch=True)
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in {".", ".."}
)
PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)
SIZES = st.integers(0, MAX_OFFSET)
MODES = st.integers(0, 0o777)
SHA256 = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)

OFFERED = Offered("a" * 24, "report.pdf", 7, 0o644)
WANTED_FILE = Want("~/report.pdf", "b" * 24, "report.pdf", 7, 0o644, "0" * 64)


def through(shape: Shape[T], value: T) -> T:
    """As it comes to the other end."""
    sent = RpcWriter().request("files.Any", 0, shape.schema, shape.write(value))
    (message,) = RpcReader().receive(sent)
    return shape.decode(message.body)


@given(PATHS)
def test_paths(path: str) -> None:
    assert through(OFFER.argument, path) == path


@given(st.builds(Offered, IDS, NAMES, SIZES, MODES, st.one_of(st.just(""), SHA256)))
def test_what_is_offered(offered: Offered) -> None:
    assert through(OFFER.reply, offered) == offered


@given(st.builds(Want, PATHS, IDS, NAMES, SIZES, MODES, SHA256, st.booleans(), st.booleans()))
def test_what_is_to_be_taken(want: Want) -> None:
    assert through(WANT.argument, want) == want


@given(st.builds(Wanted, PATHS, SIZES, st.booleans()))
def test_what_becomes_of_it(wanted: Wanted) -> None:
    assert through(WANT.reply, wanted) == wanted


def test_requests_for_bytes() -> None:
    assert files.take("a" * 24) == Request(FILES, {"take": "a" * 24})
    assert files.give("a" * 24).encode()[1:] == b"skywire/files?give=" + b"a" * 24


@pytest.mark.parametrize("path", ["a\0b", "x" * (MAX_PATH + 1), "ä" * (MAX_PATH // 2 + 1)])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(GobError, match="a path has up to"):
        through(OFFER.argument, path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * (MAX_NAME + 1)])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(GobError, match="the name of a file has"):
        through(OFFER.reply, replace(OFFERED, name=name))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (replace(WANTED_FILE, id="short"), "the id of a session"),
        (replace(WANTED_FILE, size=MAX_OFFSET + 1), "the size of a file"),
        (replace(WANTED_FILE, mode=0o1777), "what is permitted with a file"),
        (replace(WANTED_FILE, sha256=""), "a SHA-256 has"),
        (replace(WANTED_FILE, sha256="0" * 63), "a SHA-256 has"),
        (replace(WANTED_FILE, sha256="A" * 64), "a SHA-256 has"),
    ],
)
def test_what_is_out_of_range(change: Want, why: str) -> None:
    with pytest.raises(GobError, match=why):
        through(WANT.argument, change)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError):
        through(OFFER.reply, replace(OFFERED, size=-1))
