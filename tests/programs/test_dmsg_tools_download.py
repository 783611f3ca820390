"""A file while it is being downloaded."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skywire.cli.dmsg.connection import FileFailed
from skywire.cli.dmsg.download import Download, ResumeFailed, TransferFailed, strong_validator

pytestmark = pytest.mark.anyio
URL = "dmsg://somebody/file"
A = '"a"'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def begun(tmp_path: Path) -> Path:
    """A file of which 5 bytes have come."""
    path = tmp_path / "file"
    with Download(path, URL, replace=False, resume=False) as download:
        assert (download.request_headers, download.begin(200, "", A)) == ({}, True)
        await download.write(b"01234")
    assert names(tmp_path) == ["file.part", "file.part.json"]
    return path


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def take(path: Path) -> None:
    path.mkdir()


def content(path: Path) -> bytes:
    return path.read_bytes()


async def test_all_at_once(tmp_path: Path) -> None:
    with Download(tmp_path / "file", URL, replace=False, resume=False) as download:
        assert download.begin(200, "", "")
        await download.write(b"01234")
        await download.write(b"56789")
        await download.finish()
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"0123456789"


async def test_in_two_parts(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=True) as download:
        assert download.request_headers == {"Range": "bytes=5-", "If-Range": A}
        assert download.begin(206, "bytes 5-9/10", A)
        await download.write(b"56789")
        await download.finish()
    assert names(begun.parent) == ["file"]
    assert (content(begun), download.size) == (b"0123456789", 10)


@pytest.mark.parametrize(
    ("status", "content_range", "validator", "reason"),
    [
        (206, "bytes 6-9/10", A, "answers with 'bytes 6-9/10'"),
        (206, "bytes 5-7/10", A, "answers with 'bytes 5-7/10'"),
        (206, "bytes 5-9/*", A, "answers with"),
        (206, "", A, "answers with ''"),
        (206, "bytes 5-9/10", '"b"', "something else than what it began with"),
        (206, "bytes 5-9/10", "", "something else than what it began with"),
        (416, "bytes */3", A, "is not a part of what the server has"),
        (416, "", A, "is not a part of what the server has"),
        (503, "", "", "answers with status 503"),
        (404, "", "", "answers with status 404"),
        (204, "", "", "answers with status 204"),
    ],
)
async def test_answers_that_do_not_go_on(
    begun: Path, status: int, content_range: str, validator: str, reason: str
) -> None:
    with (
        Download(begun, URL, replace=False, resume=True) as download,
        pytest.raises(ResumeFailed, match=reason.replace("*", r"\*")),
    ):
        download.begin(status, content_range, validator)
    assert begun.with_name("file.part").read_bytes() == b"01234"
    assert names(begun.parent) == ["file.part", "file.part.json"]


async def test_everything_was_there(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=True) as download:
        assert not download.begin(416, "bytes */5", "")
        await download.finish()
    assert content(begun) == b"01234"


@pytest.mark.parametrize(("url", "resume", "status"), [(URL, True, 200), (URL, False, 200), ("another", True, 200)])
async def test_what_begins_anew(begun: Path, url: str, resume: bool, status: int) -> None:
    with Download(begun, url, replace=False, resume=resume) as download:
        assert bool(download.request_headers) == (resume and url == URL)
        assert download.begin(status, "", '"b"')
        await download.write(b"new")
        await download.finish()
    assert content(begun) == b"new"


async def test_what_nobody_can_tell_from_another_content_begins_anew(tmp_path: Path) -> None:
    with Download(tmp_path / "file", URL, replace=False, resume=False) as download:
        download.begin(200, "", "")
        await download.write(b"01234")
    with Download(tmp_path / "file", URL, replace=False, resume=True) as download:
        assert download.request_headers == {}


async def test_an_empty_part_begins_anew(tmp_path: Path) -> None:
    with Download(tmp_path / "file", URL, replace=False, resume=False) as download:
        download.begin(200, "", A)
    with Download(tmp_path / "file", URL, replace=False, resume=True) as download:
        assert download.request_headers == {}


async def test_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with (
        pytest.raises(FileFailed, match="exists already: use --replace or --continue"),
        Download(path, URL, replace=False, resume=False),
    ):
        pass
    for replace, resume in ((True, False), (False, True)):
        with Download(path, URL, replace=replace, resume=resume) as download:
            assert download.request_headers == {}
            download.begin(200, "", "")
        assert path.read_text() == "precious"
    with (
        pytest.raises(FileFailed, match="is no regular file"),
        Download(tmp_path, URL, replace=True, resume=False),
    ):
        pass


@pytest.mark.parametrize("status", [204, 206, 301, 404, 416, 503])
async def test_only_the_file_itself_replaces_what_is_there(tmp_path: Path, status: int) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with (
        Download(path, URL, replace=False, resume=True) as download,
        pytest.raises(ResumeFailed, match=f"answers with status {status}"),
    ):
        download.begin(status, "", A)
    assert (content(path), names(tmp_path)) == (b"precious", ["file"])


async def test_a_part_that_is_thrown_away(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=False) as download:
        download.begin(200, "", A)
        download.discard()
    assert names(begun.parent) == []


@pytest.mark.parametrize("notes", [None, "", "[]", "nonsense", '{"url": 5, "validator": ""}', "{}", "[" * 5000, "fifo"])
async def test_files_of_somebody_else_stay(tmp_path: Path, notes: str | None) -> None:
    (tmp_path / "file.part").write_text("somebody's")
    if notes == "fifo":
        os.mkfifo(tmp_path / "file.part.json")
    elif notes is not None:
        (tmp_path / "file.part.json").write_text(notes)
    with (
        pytest.raises(FileFailed, match="exists and is not from here: move it away"),
        Download(tmp_path / "file", URL, replace=True, resume=True),
    ):
        pass
    assert (tmp_path / "file.part").read_text() == "somebody's"


@pytest.mark.parametrize("notes", ["[]", "{}", '{"url": "x", "size": 5}'])
async def test_notes_of_somebody_else_stay(tmp_path: Path, notes: str) -> None:
    (tmp_path / "file.part.json").write_text(notes)
    with (
        pytest.raises(FileFailed, match="json exists and is not from here: move it away"),
        Download(tmp_path / "file", URL, replace=True, resume=True),
    ):
        pass
    assert names(tmp_path) == ["file.part.json"]
    assert (tmp_path / "file.part.json").read_text() == notes


@pytest.mark.parametrize("notes", ["", '{"url"', '{"url": "dmsg://some'])
@pytest.mark.parametrize("part", [False, True])
async def test_notes_that_were_not_written_to_their_end_are_no_hindrance(
    tmp_path: Path, notes: str, part: bool
) -> None:
    (tmp_path / "file.part.json").write_text(notes)
    if part:
        (tmp_path / "file.part").touch()
    with Download(tmp_path / "file", URL, replace=False, resume=True) as download:
        assert download.begin(200, "", A)
        await download.write(b"01234")
        await download.finish()
    assert (names(tmp_path), content(tmp_path / "file")) == (["file"], b"01234")


async def test_a_part_that_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file.part")
    reader = os.open(tmp_path / "file.part", os.O_RDONLY | os.O_NONBLOCK)
    with (
        pytest.raises(FileFailed, match="part is no regular file"),
        Download(tmp_path / "file", URL, replace=True, resume=True),
    ):
        pass
    os.close(reader)
    assert names(tmp_path) == ["file.part"]


async def test_a_url_that_grows_when_it_is_written_down(tmp_path: Path) -> None:
    url = f"dmsg://somebody/{'%F0%9F%98%80' * 8192}"
    with Download(tmp_path / "file", url, replace=False, resume=False) as download:
        download.begin(200, "", A)
        await download.write(b"01234")
    with Download(tmp_path / "file", url, replace=False, resume=True) as download:
        assert download.request_headers == {"Range": "bytes=5-", "If-Range": A}


# Several on one file


@pytest.mark.parametrize("resume", [False, True])
async def test_one_at_a_time(begun: Path, resume: bool) -> None:
    with Download(begun, URL, replace=False, resume=True) as first:
        for begin in (lambda: None, lambda: first.begin(206, "bytes 5-9/10", A)):
            begin()
            with (
                pytest.raises(FileFailed, match=f"another download to {begun} is under way"),
                Download(begun, URL, replace=True, resume=resume),
            ):
                pass
        await first.write(b"56789")
        await first.finish()
    assert (names(begun.parent), content(begun)) == (["file"], b"0123456789")


async def test_one_at_a_time_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with Download(path, URL, replace=False, resume=False) as first:
        with pytest.raises(FileFailed, match="is under way"), Download(path, URL, replace=False, resume=False):
            pass
        first.begin(200, "", "")
        await first.write(b"01234")
        await first.finish()
        # The name is free again as soon as the file has its own.
        with Download(path, "another", replace=True, resume=False) as second:
            second.begin(200, "", "")
            await second.write(b"another")
    assert (content(path), (tmp_path / "file.part").read_bytes()) == (b"01234", b"another")


async def test_another_that_ends_just_now(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def name_it_and_lock(descriptor: int, operation: int) -> None:
        begun.with_name("file.part").rename(begun)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", name_it_and_lock)
    with (
        pytest.raises(FileFailed, match=r"another download to .* is under way"),
        Download(begun, URL, replace=False, resume=False),
    ):
        pass
    assert (names(begun.parent), content(begun)) == (["file", "file.part.json"], b"01234")


async def test_a_name_that_is_taken_meanwhile(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=True) as download:
        download.begin(416, "bytes */5", "")
        take(begun)
        with pytest.raises(FileFailed, match=r"cannot write .*: Is a directory"):
            await download.finish()
    assert content(begun.with_name("file.part")) == b"01234"


async def test_another_file_in_the_place_of_ours(begun: Path) -> None:
    part = begun.with_name("file.part")
    with Download(begun, URL, replace=False, resume=True) as download:
        download.begin(206, "bytes 5-9/10", A)
        await download.write(b"56789")
        part.rename(begun.with_name("moved"))
        part.write_text("somebody's")
        with pytest.raises(FileFailed, match="is no more the file that was written"):
            await download.finish()
    assert content(part) == b"somebody's"
    assert names(begun.parent) == ["file.part", "file.part.json", "moved"]


async def test_without_an_answer_nothing_stays(tmp_path: Path) -> None:
    with Download(tmp_path / "file", URL, replace=False, resume=False):
        pass
    assert names(tmp_path) == []


# How much has come


async def test_a_rest_that_is_cut_short(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=True) as download:
        download.begin(206, "bytes 5-9/10", A)
        await download.write(b"567")
        with pytest.raises(TransferFailed, match="ended at byte 8 of 10"):
            await download.finish()
    assert names(begun.parent) == ["file.part", "file.part.json"]
    with Download(begun, URL, replace=False, resume=True) as download:
        assert download.request_headers["Range"] == "bytes=8-"


async def test_a_rest_that_is_too_long(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=True) as download:
        download.begin(206, "bytes 5-9/10", A)
        await download.write(b"56789")
        with pytest.raises(ResumeFailed, match="more than the 10 bytes"):
            await download.write(b"X")
    assert names(begun.parent) == ["file.part", "file.part.json"]
    assert content(begun.with_name("file.part")) == b"0123456789"


@pytest.mark.parametrize("link", ["file.part", "file.part.json"])
async def test_links_are_not_followed(begun: Path, link: str) -> None:
    target, place = begun.with_name("target"), begun.with_name(link)
    target.write_text("somebody's")
    place.unlink()
    place.symlink_to(target)
    for resume in (False, True):
        with pytest.raises(FileFailed, match="cannot write"), Download(begun, URL, replace=False, resume=resume):
            pass
    assert (target.read_text(), place.is_symlink()) == ("somebody's", True)


@contextmanager
def no_room() -> Iterator[None]:
    """No file can grow, as on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


async def test_no_room_for_notes(begun: Path) -> None:
    with (
        Download(begun, URL, replace=False, resume=False) as download,
        no_room(),
        pytest.raises(FileFailed, match="cannot write"),
    ):
        download.begin(200, "", '"b"')
    assert names(begun.parent) == ["file.part", "file.part.json"]
    assert begun.with_name("file.part").read_bytes() == b"01234"
    assert json.loads(begun.with_name("file.part.json").read_text())["validator"] == A


async def test_no_room_from_the_start(tmp_path: Path) -> None:
    with (
        Download(tmp_path / "file", URL, replace=False, resume=False) as download,
        no_room(),
        pytest.raises(FileFailed, match="cannot write"),
    ):
        download.begin(200, "", A)
    assert names(tmp_path) == []


async def test_a_full_disk(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=False) as download:
        download.begin(200, "", A)
        descriptor = download._descriptor
        assert descriptor is not None
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, descriptor)
        os.close(full)
        with pytest.raises(FileFailed, match="No space left on device"):
            await download.write(b"x")


async def test_a_folder_that_is_gone(begun: Path) -> None:
    with Download(begun, URL, replace=False, resume=False) as download:
        download.begin(200, "", A)
        begun.with_name("file.part").unlink()
        with pytest.raises(FileFailed, match="cannot write"):
            await download.finish()


NOON = "Sun, 06 Nov 1994 12:00:00 GMT"


@pytest.mark.parametrize(
    ("etag", "last_modified", "date", "validator"),
    [
        (A, NOON, "", A),
        (A, "", "", A),
        ("", NOON, "Sun, 06 Nov 1994 12:01:00 GMT", NOON),
        ('W/"a"', NOON, "Mon, 07 Nov 1994 12:00:00 GMT", NOON),
        ("", NOON, "Sun, 06 Nov 1994 12:00:59 GMT", ""),
        ("", NOON, "Sun, 06 Nov 1994 11:00:00 GMT", ""),
        ("", NOON, "", ""),
        ("", NOON, "today", ""),
        ("", "Monday", NOON, ""),
        ("", "", NOON, ""),
        ('W/"a"', "", NOON, ""),
        (f'"{"a" * 2000}"', "", NOON, ""),
    ],
)
async def test_what_tells_one_content_from_another(etag: str, last_modified: str, date: str, validator: str) -> None:
    assert strong_validator(etag, last_modified, date) == validator
