"""The application that serves a folder."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from skywire.http import files, listing
from skywire.http.files import Folder
from skywire.http.listing import Entry, listing_page
from tests.http.serving import Place, Served, ask, get, on_network
from tests.net import meetings

pytestmark = pytest.mark.anyio

TABLE = ("table", "thead", "tbody", "tr", "th", "td", "time")
HOSTILE_NAMES = [
    b"<script>alert(1)<script>",
    b'"onmouseover="alert(1)',
    b"&amp;",
    b"a:b",
    b"javascript:alert(1)",
    b"x\r\nSet-Cookie: a=b",
    b"%2e%2e",
    b"?query#fragment",
    b"back\\slash",
    b" space ",
    b"\xff\xfe not UTF-8",
    "\u202egnp.exe".encode(),
    "Ünïcödé 雪".encode(),
    b"-rf",
    b"~",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "site").mkdir()
    (folder / "text.txt").write_text("0123456789")
    (folder / "page.html").write_text("<p>page")
    (folder / "data").write_bytes(bytes(range(256)))
    (folder / "large").write_bytes(os.urandom(3 * files.READ_SIZE))
    (folder / "empty").touch()
    (folder / ".secret").write_text("secret")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "file").write_text("secret")
    (folder / "site" / "index.html").write_text("<p>index")
    (folder / "sub" / "in.txt").write_text("in")
    (tmp_path / "served-not").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "out.txt").symlink_to(tmp_path / "outside" / "file")
    (folder / "in.txt").symlink_to("sub/in.txt")
    (folder / "nowhere").symlink_to("missing")
    (folder / "round").symlink_to("round")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
async def served(root: Path) -> AsyncIterator[Served]:
    async with on_network(meetings.memory)(Folder(root)) as served:
        yield served


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with served.client() as client:
        yield client


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text.txt", "text/plain; charset=utf-8"),
        ("page.html", "text/html; charset=utf-8"),
        ("data", "application/octet-stream"),
        ("large", "application/octet-stream"),
        ("empty", "application/octet-stream"),
        ("sub/in.txt", "text/plain; charset=utf-8"),
        ("in.txt", "text/plain; charset=utf-8"),
        ("//sub///in.txt", "text/plain; charset=utf-8"),
    ],
)
async def test_files(root: Path, client: httpx.AsyncClient, name: str, kind: str) -> None:
    content = (root / name.lstrip("/")).read_bytes()
    response = await client.get(f"/{name}")
    assert (response.status_code, response.content, response.headers["content-type"]) == (200, content, kind)
    head = await client.head(f"/{name}")
    assert (head.status_code, head.content) == (200, b"")
    for field in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert head.headers[field] == response.headers[field]


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 206, "0123"),
        ("bytes=8-", 206, "89"),
        ("bytes=-2", 206, "89"),
        ("bytes=5-1000", 206, "56789"),
        ("bytes=10-", 416, ""),
        ("lines=1-2", 400, None),
    ],
)
async def test_ranges(client: httpx.AsyncClient, asked: str, status: int, content: str | None) -> None:
    response = await client.get("/text.txt", headers={"Range": asked})
    assert response.status_code == status
    assert content is None or response.text == content


async def test_several_ranges(client: httpx.AsyncClient) -> None:
    response = await client.get("/text.txt", headers={"Range": "bytes=0-1,8-9"})
    assert response.status_code == 206
    assert re.findall(r"Content-Range: bytes (\S+)\r\n\r\n(\S+)", response.text) == [("0-1/10", "01"), ("8-9/10", "89")]


async def test_what_did_not_change_is_not_sent_again(root: Path, client: httpx.AsyncClient) -> None:
    first = (await client.get("/text.txt")).headers
    fresh = {"If-None-Match": first["etag"]}, {"If-Modified-Since": first["last-modified"]}
    for field in fresh:
        assert (await client.get("/text.txt", headers=field)).status_code == 304
    (root / "text.txt").write_text("changed")
    os.utime(root / "text.txt", (2_000_000_000, 2_000_000_000))
    for field in fresh:
        assert (await client.get("/text.txt", headers=field)).text == "changed"
    part = {"Range": "bytes=0-1", "If-Range": first["etag"]}
    assert (await client.get("/text.txt", headers=part)).text == "changed"


@pytest.mark.parametrize(
    "path",
    [
        "/none",
        "/text.txt/",
        "/text.txt/more",
        "/.secret",
        "/.hidden/",
        "/.hidden/file",
        "/sub/../.secret",
        "/../served-not",
        "/..",
        "/sub/..",
        "/.",
        "/sub/../../served-not",
        "/%2e%2e/served-not",
        "/%2e%2e%2fserved-not",
        "/..%2fserved-not",
        "/sub%2f..%2f..%2fserved-not",
        "/..%5cserved-not",
        "/%5c..%5c..%5cserved-not",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/text.txt%00",
        "/text.txt%00.html",
        "/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/served-not",
        "/out",
        "/out/",
        "/out/file",
        "/out.txt",
        "/nowhere",
        "/round",
        "/pipe",
        "/" + "x" * 300,
        "/" + "sub/../" * 200 + "../served-not",
        "/" + "x/" * 3000,
        "http://elsewhere/text.txt",
        "*",
    ],
)
async def test_what_is_not_served(served: Served, path: str) -> None:
    answer = await ask(
        served, get(path.encode().decode("latin-1"), "Connection: close").replace(b"\xef\xbc\x8e", b"%EF%BC%8E")
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b"\r\n\r\nNot Found")


async def test_what_may_not_be_read_is_not_served(
    root: Path, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub" / "in.txt").chmod(0)
    (root / "sub" / "deep").chmod(0)
    if os.geteuid() == 0:  # who may read everything
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path).stat().st_mode & 0o400)
    assert (await client.get("/sub/in.txt")).status_code == 404
    assert (await client.get("/sub/deep/")).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
async def test_only_for_reading(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/text.txt")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


class Links(HTMLParser):
    """The links of a page, and whatever else it tries."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_list(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    page = Links(response.text)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.links == [
        *("./site/", "./sub/"),
        *("./data", "./empty", "./in.txt", "./large", "./page.html", "./text.txt"),
    ]
    for link in page.links:
        assert (await client.get(urljoin("/", link))).status_code == 200
    below = Links((await client.get("/sub/")).text)
    assert below.links == ["../", "./deep/", "./in.txt"]
    assert "Files in /sub/" in below.text
    assert "It is empty." in Links((await client.get("/sub/deep/")).text).text


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_hostile_names(root: Path, client: httpx.AsyncClient, name: bytes) -> None:
    folder = root / "sub" / "deep"
    (folder / os.fsdecode(name)).write_bytes(name)
    page = Links((await client.get("/sub/deep/")).text)
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "main", "h1", "p", "a", *TABLE}
    (link,) = page.links[1:]
    assert unquote_to_bytes(link) == b"./" + name
    assert (await client.get(urljoin("/sub/deep/", link))).content == name
    assert all(each.isprintable() or each == "\n" for each in page.text)


async def test_folders_of_hostile_names(root: Path, client: httpx.AsyncClient) -> None:
    for name in HOSTILE_NAMES:
        (root / os.fsdecode(name)).mkdir()
        (root / os.fsdecode(name) / "file").write_bytes(name)
    for link in Links((await client.get("/")).text).links:
        if unquote_to_bytes(link)[2:-1] in HOSTILE_NAMES:
            moved = await client.get(link.rstrip("/"))
            assert moved.status_code == 301
            assert moved.headers["location"] == link
            assert (await client.get(urljoin(link, "file"))).content == unquote_to_bytes(link)[2:-1]


async def test_a_folder_without_its_slash(client: httpx.AsyncClient) -> None:
    response = await client.get("/sub?a=b")
    assert (response.status_code, response.headers["location"]) == (301, "./sub/?a=b")
    assert (await client.get("/sub/deep", follow_redirects=True)).status_code == 200


async def test_index_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/site/")
    assert (response.text, response.headers["content-type"]) == ("<p>index", "text/html; charset=utf-8")


async def test_a_large_folder(root: Path, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 3)
    monkeypatch.setattr(listing, "MAX_ENTRIES", 3)
    page = Links((await client.get("/")).text)
    assert len(page.links) <= 3
    assert "There are more than 3 names here" in page.text


def test_dates_beyond_the_calendar() -> None:
    page = listing_page("/", [Entry("new", False, 1, 1e18), Entry("old", False, 1234567, 0)], whole=True)
    assert "1970-01-01 00:00" in page
    assert "1,234,567" in page
    assert page.count("<time") == 1


async def test_below_another_application(root: Path) -> None:
    app = Starlette(routes=[Mount("/files", Folder(root))])
    async with on_network(meetings.memory)(app) as served, served.client() as client:
        assert (await client.get("/files/sub/in.txt")).text == "in"
        assert (await client.get("/files/none")).status_code == 404
        assert (await client.get("/files/sub")).headers["location"] == "./sub/"


async def test_a_file_that_grows_while_it_is_sent(root: Path) -> None:
    path = root / "log"
    path.write_bytes(b"before")

    async def grow(scope: Scope, receive: Receive, send: Send) -> None:
        async def grow_first(message: Message) -> None:
            path.write_bytes(b"before and after")
            await send(message)

        await Folder(root)(scope, receive, grow_first)

    async with on_network(meetings.memory)(grow) as served, served.client() as client:
        assert (await client.get("/log")).content == b"before"


async def test_everywhere(place: Place, root: Path) -> None:
    content = (root / "large").read_bytes()
    async with place(Folder(root)) as served, served.client() as client:
        assert (await client.get("/large")).content == content
        part = await client.get("/large", headers={"Range": f"bytes={files.READ_SIZE - 1}-{files.READ_SIZE}"})
        assert part.content == content[files.READ_SIZE - 1 : files.READ_SIZE + 1]


def test_what_is_no_folder(root: Path) -> None:
    with pytest.raises(NotADirectoryError, match="is no folder"):
        Folder(root / "text.txt")
