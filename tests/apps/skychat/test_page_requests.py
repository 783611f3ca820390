"""The HTTP interface of the page: what it answers, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from anyio import create_task_group, fail_after

from skywire.apps.skychat import page_files
from skywire.apps.skychat.contract import Delivery, FileOffer
from skywire.apps.skychat.page_requests import MOST_JSON
from skywire.transfer.names import UNNAMED
from tests.apps.asking import ask_page
from tests.apps.skychat.memory_chat import ALICE, BOB, MemoryChat
from tests.apps.skychat.page import PATIENCE, Opened, opened
from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture; pages are for asyncio

pytestmark = pytest.mark.anyio


@pytest.fixture
def chat() -> MemoryChat:
    return MemoryChat()


@pytest.fixture
async def page(chat: MemoryChat, tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(chat, tmp_path) as found:
        yield found


def told(answer: httpx.Response) -> str:
    """The one line of a refusal."""
    facts = answer.json()
    assert list(facts) == ["error"]
    line = facts["error"]
    assert isinstance(line, str)
    assert line
    assert "\n" not in line
    return line


async def test_its_files_are_served(page: Opened) -> None:
    kinds = {
        "/": "text/html",
        "/style.css": "text/css",
        "/page.js": "text/javascript",
        "/message.js": "text/javascript",
    }
    for path, kind in kinds.items():
        answer = await page.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert "style=" not in answer.text
    assert (await page.get("/favicon.ico")).status_code == 204


async def test_a_message_is_sent_and_waited_for(chat: MemoryChat, page: Opened) -> None:
    answer = await page.post("/message", {"recipient": str(BOB), "message": "hello"})
    (message,) = chat.sent()
    assert answer.json().keys() == {"acked", "id", "ms"}
    assert (answer.json()["id"], answer.json()["acked"], message.text) == (message.id, False, "hello")

    answers = []

    async def wait() -> None:
        answers.append(
            await page.post(
                "/message", {"recipient": str(BOB), "message": "again", "wait_ms": 9000, "reply_to": message.id}
            )
        )

    async with create_task_group() as task_group:
        task_group.start_soon(wait)
        with fail_after(PATIENCE):
            while len(chat.sent()) < 2:
                await chat.changed.wait()
        chat.change(chat.sent()[1], delivery=Delivery.DELIVERED)
    assert answers[0].json()["acked"] is True
    assert chat.sent()[1].reply_to == message.id


async def test_history_contacts_and_status(chat: MemoryChat, page: Opened) -> None:
    for number in range(5):
        chat.receive(f"number {number}")
    chat.receive("of another", peer=ALICE)
    newest = (await page.get(f"/history?peer={BOB}&limit=2")).json()["messages"]
    assert [each["text"] for each in newest] == ["number 3", "number 4"]
    older = (await page.get(f"/history?peer={BOB}&limit=2&before={newest[0]['number']}")).json()["messages"]
    assert [each["text"] for each in older] == ["number 1", "number 2"]
    assert len((await page.get("/history")).json()["messages"]) == 6

    assert (await page.post("/alias", {"peer": str(BOB), "alias": "Bob"})).json() == {}
    contacts = (await page.get("/contacts")).json()["contacts"]
    assert {each["alias"]: each["unread"] for each in contacts} == {"": 1, "Bob": 5}
    status = (await page.get("/status")).json()
    assert (status["public"], status["stored"]) == (str(ALICE), 6)


async def test_read_and_delete(chat: MemoryChat, page: Opened) -> None:
    message = chat.receive("hello")
    assert (await page.post("/read", {"peer": str(BOB), "number": message.number})).json() == {}
    assert chat.messages[message.id].delivery is Delivery.READ
    sent = await chat.send(BOB, "a slip")
    assert (await page.post("/delete", {"peer": str(BOB), "id": sent.id})).json() == {}
    assert chat.messages[sent.id].deleted
    refused = await page.post("/delete", {"peer": str(BOB), "id": message.id})
    assert (refused.status_code, told(refused)) == (409, "there is no such message of ours")


KEY = str(BOB)
WRONG = [
    ("/message", "[]", 400, "an object is expected"),
    ("/message", "{", 400, "no JSON"),
    ("/message", "[" * 30_000, 400, "no JSON"),
    ("/message", "1" * 5000, 400, "no JSON"),
    ("/message", {"recipient": KEY}, 400, "request.message: it is missing"),
    ("/message", {"recipient": KEY, "message": 7}, 400, "a text is expected, this is the number 7"),
    ("/message", {"recipient": 7, "message": "x"}, 400, "request.recipient"),
    ("/message", {"recipient": "02" * 32, "message": "x"}, 400, "public key"),
    ("/message", {"recipient": "0" * 66, "message": "x"}, 400, "public key"),
    ("/message", {"recipient": KEY, "message": "x", "wait_ms": -1}, 400, "wait_ms is 0 to 60000"),
    ("/message", {"recipient": KEY, "message": "x", "wait_ms": True}, 400, "a whole number is expected"),
    ("/message", {"recipient": KEY, "message": "x", "more": 1}, 400, "request.more"),
    ("/message", {"recipient": KEY, "message": "\ud800"}, 400, "no text that can be written"),
    ("/message", {"recipient": KEY, "message": ""}, 409, "1 to 4096 bytes"),
    ("/message", {"recipient": KEY, "message": "é" * 2049}, 409, "1 to 4096 bytes"),
    ("/read", {"peer": KEY, "number": 0}, 400, "number is 1 to"),
    ("/read", {"peer": KEY, "number": 1.5}, 400, "a whole number is expected"),
    ("/delete", {"peer": KEY, "id": None}, 400, "a text is expected, this is null"),
    ("/alias", {"peer": KEY, "alias": "x" * 65}, 409, "up to 64"),
    ("/file", {"recipient": KEY, "name": "", "size": 1}, 400, "a name"),
    ("/file", {"recipient": KEY, "name": "x", "size": -1}, 413, "at most"),
    ("/file", {"recipient": KEY, "name": "x", "size": 1 << 60}, 413, "at most"),
]


@pytest.mark.parametrize(("path", "asked", "status", "reason"), WRONG)
async def test_what_does_not_fit_is_refused_in_one_line(
    chat: MemoryChat, page: Opened, path: str, asked: object, status: int, reason: str
) -> None:
    content = asked if isinstance(asked, str) else json.dumps(asked)
    answer = await page.client.post(path, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, reason in told(answer)) == (status, True), answer.text
    assert chat.count == 0


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/history?peer=7", 400, "public key"),
        ("/history?limit=0", 400, "limit is 1 to 500"),
        ("/history?limit=501", 400, "limit is 1 to 500"),
        ("/history?before=-1", 400, "before is 0 to"),
        ("/history?before=" + "9" * 5000, 400, "before"),
        ("/history?more=1", 400, "more"),
        ("/events?since=x", 400, "since"),
        ("/sse?since=-1", 400, "since"),
        ("/nothing", 404, "there is no /nothing"),
        ("/page/index.html", 404, "there is no"),
        ("/..%2fpage_app.py", 404, "there is no"),
        ("/message", 405, "/message takes POST, not GET"),
        (f"/file/{KEY}/1", 404, "no file came"),
        (f"/file/{KEY}/" + "9" * 5000, 404, "the number of a message"),
        (f"/file/{KEY}/x", 404, "the number of a message"),
        ("/file/x/1", 400, "public key"),
    ],
)
async def test_what_cannot_be_got_is_refused_in_one_line(page: Opened, path: str, status: int, reason: str) -> None:
    answer = await page.get(path)
    assert (answer.status_code, reason in told(answer)) == (status, True), answer.text


async def test_a_large_body_is_refused_however_it_comes(chat: MemoryChat, page: Opened) -> None:
    large = json.dumps({"recipient": KEY, "message": "x" * MOST_JSON})
    answer = await page.client.post("/message", content=large, headers={"content-type": "application/json"})
    assert (answer.status_code, told(answer)) == (413, f"a request to /message has at most {MOST_JSON} bytes")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * MOST_JSON

    answer = await page.client.post("/message", content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    answer = await page.client.post("/upload/x", content=b"x" * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert chat.count == 0


async def test_only_json_is_read_so_no_form_of_another_page_can_be_it(chat: MemoryChat, page: Opened) -> None:
    asked = json.dumps({"recipient": KEY, "message": "x"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await page.client.post("/message", content=asked, headers={"content-type": kind})
        assert (answer.status_code, told(answer)) == (415, "the body is sent as application/json")
    assert chat.count == 0


PATHS = ("/", "/history", "/contacts", "/status", "/sse", "/events", f"/file/{KEY}/1", "/message")


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_else_reaches_it(chat: MemoryChat, page: Opened, path: str) -> None:
    where = page.page.address
    proof = f"Authorization: {page.client.headers['authorization']}"
    chat.receive("a secret")
    for method in ("GET", "POST"):
        for fields, host, status in (
            ((), None, 401),
            (("Authorization: Bearer wrong",), None, 401),
            ((proof, "Origin: http://evil.example"), None, 403),
            ((proof, "Origin: null"), None, 403),
            ((proof, "Sec-Fetch-Site: cross-site"), None, 403),
            ((proof,), "evil.example", 421),
            ((proof,), f"evil.example:{where.port}", 421),
        ):
            answer = await ask_page(where, path, *fields, method=method, host=host)
            assert (answer.status, b"secret" in answer.body) == (status, False), (method, fields, host)
    assert len(chat.messages) == 1


# --- files


async def test_a_file_is_sent_in_pieces_and_kept_until_it_is_fetched(
    chat: MemoryChat, page: Opened, tmp_path: Path
) -> None:
    begun = (await page.post("/file", {"recipient": KEY, "name": "photo é.jpg", "size": 10, "message": "look"})).json()
    assert (begun["done"], begun["sent"]) == (0, None)
    piece = f"/upload/{begun['upload']}?offset="
    assert (await page.client.post(f"{piece}0", content=b"01234")).json()["done"] == 5
    refused = await page.client.post(f"{piece}0", content=b"01234")
    assert (refused.status_code, told(refused)) == (409, "the next piece begins at 5, this one at 0")
    refused = await page.client.post(f"{piece}5", content=b"56789!")
    assert (refused.status_code, told(refused)) == (400, "the file was said to have 10 bytes, this is more")
    done = (await page.client.post(f"{piece}5", content=b"56789")).json()
    (message,) = chat.sent()
    (path,) = chat.offered
    assert done["sent"]["id"] == message.id
    assert (path.name, path.read_bytes()) == ("photo é.jpg", b"0123456789")
    assert path.is_relative_to(tmp_path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    # Another one: the first stays as long as nobody has fetched it.
    await page.post("/file", {"recipient": KEY, "name": "empty", "size": 0})
    assert path.exists()
    assert message.file is not None
    fetched = FileOffer(message.file.name, message.file.size, done=10, path=message.file.path)
    chat.change(message, delivery=Delivery.DELIVERED, file=fetched)
    await page.post("/file", {"recipient": KEY, "name": "empty", "size": 0})
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "goes_out_as"),
    [
        ("Screenshot at 1.02.03\u202fPM.png", "Screenshot at 1.02.03 PM.png"),  # as macOS writes it
        ("../../secret", "_.._secret"),
        ("..", UNNAMED),
        ("a\\b\u202egpj.exe", "a_b_gpj.exe"),
        ("a\r\nb\0.txt", "a  b_.txt"),
        ("x" * 300 + ".txt", "x" * 196 + ".txt"),
    ],
)
async def test_any_name_of_a_file_will_do(
    chat: MemoryChat, page: Opened, tmp_path: Path, name: str, goes_out_as: str
) -> None:
    await page.post("/file", {"recipient": KEY, "name": name, "size": 0})
    (path,) = chat.offered
    assert path.name == goes_out_as
    assert path.parent.parent.parent == tmp_path / "uploads"


async def test_uploads_whose_page_was_closed_make_room(
    chat: MemoryChat, page: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"recipient": KEY, "name": "large", "size": page_files.LARGEST}
    begun = [(await page.post("/file", whole)).json()["upload"] for _ in range(4)]
    assert (await page.post("/file", whole)).status_code == 507
    monkeypatch.setattr(page_files, "IDLE_SECONDS", -1.0)
    assert (await page.post("/file", whole)).status_code == 200
    assert (await page.client.post(f"/upload/{begun[1]}?offset=0", content=b"")).status_code == 404


async def test_uploads_that_broke_off_leave_nothing(chat: MemoryChat, tmp_path: Path) -> None:
    async with opened(chat, tmp_path) as page:
        begun = (await page.post("/file", {"recipient": KEY, "name": "one", "size": 10})).json()
        given_up = f"/upload/{begun['upload']}"
        assert (await page.client.delete(given_up)).status_code == 200
        refused = await page.client.post(f"{given_up}?offset=0", content=b"x")
        assert (refused.status_code, told(refused)) == (404, "there is no such upload any more: begin again")
        for _ in range(20):
            await page.post("/file", {"recipient": KEY, "name": "two", "size": 10})
        assert len(list((tmp_path / "uploads").iterdir())) == 16
    async with opened(chat, tmp_path) as page:  # anew, as after a restart
        await page.post("/file", {"recipient": KEY, "name": "three", "size": 10})
        assert len(list((tmp_path / "uploads").iterdir())) == 1


async def test_a_disk_that_takes_nothing_is_told(chat: MemoryChat, page: Opened, tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("in the way")
    refused = await page.post("/file", {"recipient": KEY, "name": "one", "size": 10})
    assert (refused.status_code, told(refused).startswith("the file cannot be kept: ")) == (507, True)
    (tmp_path / "uploads").unlink()
    begun = (await page.post("/file", {"recipient": KEY, "name": "one", "size": 1})).json()
    (path,) = (tmp_path / "uploads").rglob("one")
    path.unlink()
    refused = await page.client.post(f"/upload/{begun['upload']}?offset=0", content=b"x")
    assert (refused.status_code, told(refused)) == (507, "the file cannot be kept: No such file or directory")


@pytest.mark.parametrize("name", ["report.html", 'a"b\\c', "é\u202e.exe", "x\r\nSet-Cookie: a=b", "\udcff.bin"])
async def test_a_file_that_came_is_saved_and_never_shown(
    chat: MemoryChat, page: Opened, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "received"
    path.write_bytes(b"<script>alert(1)</script>")
    size = path.stat().st_size
    whole = chat.receive("", file=FileOffer(name, size, done=size, path=str(path)))
    half = chat.receive("", file=FileOffer(name, 10, done=5))
    answer = await page.get(f"/file/{BOB}/{whole.number}")
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; filename")
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    refused = await page.get(f"/file/{BOB}/{half.number}")
    assert (refused.status_code, told(refused)) == (409, "5 of 10 bytes are here")
    path.unlink()
    assert (await page.get(f"/file/{BOB}/{whole.number}")).status_code == 404
