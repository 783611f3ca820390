"""The calls by which files are copied between a host and its client. All of this is ours.

A call says which file; its bytes go over a connection of their own, as :mod:`skywire.wire.transfer` has it,
which begins with the request ``skywire/files?take=ID`` (the host sends) or ``skywire/files?give=ID`` (the client
does). Both calls may come again, and whoever lost a connection makes them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from skywire.wire.gob import BOOL, STRING, UINT, Field, GobError, GobValue, Struct
from skywire.wire.gob.method import Method, Shape, within
from skywire.wire.pty.opening import FILES, Request
from skywire.wire.pty.session import MAX_OFFSET, check_id

MAX_PATH: Final = 4096
"""Bytes of UTF-8 of a path."""
MAX_NAME: Final = 255
"""Bytes of UTF-8 of the name of a file."""
ID_LENGTH: Final = 24
"""Digits of the ids that our ends give to files."""
TAKE: Final = "take"
GIVE: Final = "give"

_MODES: Final = 0o777
_HEX: Final = frozenset("0123456789abcdef")
_SHA256_LENGTH: Final = 64


@final
@dataclass(frozen=True, slots=True)
class Offered:
    """A file that the host sends to this client's key.

    Args:
        id: to ask for it by: 16 to 64 letters and digits; of the same file always the same.
        name: of the file, without folder.
        size: bytes.
        mode: its permissions, 0 to 0o777.
        sha256: 64 hexadecimal digits where it is known already, else empty.
    """

    id: str
    name: str
    size: int
    mode: int
    sha256: str = ""


@final
@dataclass(frozen=True, slots=True)
class Want:
    """A file that the client has for the host.

    Args:
        path: where it is to be; relative ones are from the home of the host's user, and a folder means the file's own
            name in it.
        id: of the offer: 16 to 64 letters and digits; the same whenever the same file is copied to there.
        name: of the file, without folder.
        size: bytes.
        mode: its permissions, 0 to 0o777.
        sha256: of it, 64 hexadecimal digits.
        replace: whether a file that is there may be replaced.
        again: whether the same copy has been tried already; then the host says how that ended.
    """

    path: str
    id: str
    name: str
    size: int
    mode: int
    sha256: str
    replace: bool = False
    again: bool = False


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """What becomes of that.

    Args:
        path: where the file will be, or is.
        have: bytes of it that the host has from an earlier attempt, as far as it knows.
        whole: whether the file is there, checked and under its name.
    """

    path: str
    have: int
    whole: bool


def take(id: str) -> Request:  # noqa: A002 - as on the wire
    """Asks for the bytes of a file."""
    return Request(FILES, {TAKE: id})


def give(id: str) -> Request:  # noqa: A002 - as on the wire
    """Offers the bytes of a file."""
    return Request(FILES, {GIVE: id})


def _path(value: GobValue) -> str:
    assert isinstance(value, str)
    if "\0" in value or len(value.encode()) > MAX_PATH:
        raise GobError(f"a path has up to {MAX_PATH} bytes, and none of them is zero")
    return value


def _name(value: GobValue) -> str:
    assert isinstance(value, str)
    if value in {"", ".", ".."} or not {"/", "\0"}.isdisjoint(value) or len(value.encode()) > MAX_NAME:
        raise GobError(f"the name of a file has 1 to {MAX_NAME} bytes, and names no folder")
    return value


def _id(value: GobValue) -> str:
    assert isinstance(value, str)
    check_id(value)
    return value


def _sha256(value: GobValue, *, may_be_empty: bool = False) -> str:
    assert isinstance(value, str)
    if not (may_be_empty and not value) and not (len(value) == _SHA256_LENGTH and _HEX.issuperset(value)):
        raise GobError(f"a SHA-256 has {_SHA256_LENGTH} lower-case hexadecimal digits")
    return value


def _size(value: GobValue) -> int:
    return within(value, 0, MAX_OFFSET, "the size of a file")


def _mode(value: GobValue) -> int:
    return within(value, 0, _MODES, "what is permitted with a file")


def _read_path(value: GobValue) -> str:
    assert isinstance(value, tuple)
    (path,) = value
    return _path(path)


def _read_offered(value: GobValue) -> Offered:
    assert isinstance(value, tuple)
    id_, name, size, mode, sha256 = value
    return Offered(_id(id_), _name(name), _size(size), _mode(mode), _sha256(sha256, may_be_empty=True))


def _read_want(value: GobValue) -> Want:
    assert isinstance(value, tuple)
    path, id_, name, size, mode, sha256, replace, again = value
    return Want(
        _path(path), _id(id_), _name(name), _size(size), _mode(mode), _sha256(sha256), bool(replace), bool(again)
    )


def _read_wanted(value: GobValue) -> Wanted:
    assert isinstance(value, tuple)
    path, have, whole = value
    return Wanted(_path(path), _size(have), bool(whole))


_PATH: Final[Shape[str]] = Shape(Struct("OfferReq", (Field("Path", STRING),)), lambda path: (path,), _read_path)
_OFFERED: Final[Shape[Offered]] = Shape(
    Struct(
        "OfferResp",
        (
            Field("ID", STRING),
            Field("Name", STRING),
            Field("Size", UINT),
            Field("Mode", UINT),
            Field("SHA256", STRING),
        ),
    ),
    lambda offered: (offered.id, offered.name, offered.size, offered.mode, offered.sha256),
    _read_offered,
)
_WANT: Final[Shape[Want]] = Shape(
    Struct(
        "WantReq",
        (
            Field("Path", STRING),
            Field("ID", STRING),
            Field("Name", STRING),
            Field("Size", UINT),
            Field("Mode", UINT),
            Field("SHA256", STRING),
            Field("Overwrite", BOOL),
            Field("Again", BOOL),
        ),
    ),
    lambda want: (want.path, want.id, want.name, want.size, want.mode, want.sha256, want.replace, want.again),
    _read_want,
)
_WANTED: Final[Shape[Wanted]] = Shape(
    Struct("WantResp", (Field("Path", STRING), Field("Have", UINT), Field("Whole", BOOL))),
    lambda wanted: (wanted.path, wanted.have, wanted.whole),
    _read_wanted,
)

OFFER: Final = Method("files.Offer", _PATH, _OFFERED)
"""Have the host offer a file of its own to this client's key."""
WANT: Final = Method("files.Want", _WANT, _WANTED)
"""Have the host take a file; once it was given, say what has become of it, an error where it cannot be done."""
