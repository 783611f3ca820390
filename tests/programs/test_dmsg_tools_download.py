"""A file while it is being downloaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skywire.cli.dmsg.connection import FileFailed
from skywire.cli.dmsg.download import Download, ResumeFailed, strong_validator

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
    with pytest.raises(FileFailed, match="exists already: use --replace or --continue"):
        Download(path, URL, replace=False, resume=False)
    for replace, resume in ((True, False), (False, True)):
        with Download(path, URL, replace=replace, resume=resume) as download:
            assert download.request_headers == {}
            download.begin(200, "", "")
        assert path.read_text() == "precious"
    with pytest.raises(FileFailed, match="is no regular file"):
        Download(tmp_path, URL, replace=True, resume=False)


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
    with pytest.raises(FileFailed, match="exists and is not from here: move it away"):
        Download(tmp_path / "file", URL, replace=True, resume=True)
    assert (tmp_path / "file.part").read_text() == "somebody's"


async def test_links_are_not_followed(tmp_path: Path, begun: Path) -> None:
    target, part = tmp_path / "target", tmp_path / "file.part"
    target.write_text("somebody's")
    part.unlink()
    part.symlink_to(target)
    with Download(begun, URL, replace=False, resume=True) as download, pytest.raises(FileFailed, match="cannot write"):
        download.begin(206, "bytes 10-19/20", A)
    with Download(begun, URL, replace=False, resume=False) as download:
        assert download.begin(200, "", A)
        await download.write(b"new")
    assert target.read_text() == "somebody's"
    (tmp_path / "other.part.json").symlink_to(target)
    with pytest.raises(FileFailed, match="cannot write"):
        Download(tmp_path / "other", URL, replace=False, resume=False)


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


@pytest.mark.parametrize(
    ("etag", "last_modified", "validator"),
    [
        ('"a"', "Monday", '"a"'),
        ('W/"a"', "Monday", "Monday"),
        ('W/"a"', "", ""),
        ("", "Monday", "Monday"),
        ("", "", ""),
    ],
)
async def test_what_tells_one_content_from_another(etag: str, last_modified: str, validator: str) -> None:
    assert strong_validator(etag, last_modified) == validator
