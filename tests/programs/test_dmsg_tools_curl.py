"""``dmsg curl`` and ``dmsg http``, with each other and with peers that do not keep to the rules."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from anyio import Event as AsyncEvent
from anyio import sleep, sleep_forever

from skywire import Conn, PubKey, SecKey, keyfile
from skywire.http.server import http_handler
from tests.http.apps import echo
from tests.programs.running import DMSG, PATIENCE, Network, Script, answer

BIG = random.Random(5).randbytes(700_000)
KEY = SecKey(b"\x32" * 32)
VERSION = Path("/proc/version")


@pytest.fixture(scope="module")
def site(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a folder that the program serves to everyone."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "hello.txt").write_text("hello\n")
    (folder / "big").write_bytes(BIG)
    with network.running("http", folder, "--allow-all") as server:
        yield server.line()
        server.signal(signal.SIGTERM)
        code, out, err = server.end()
        assert (code, out, err) == (0, "", "")


def body(status: str = "200 OK", data: bytes = b"0123456789", **fields: str) -> bytes:
    return answer(status, data, Content_Length=len(data), **fields)


TRUNCATED = answer("200 OK", b"01234", Content_Length=10, ETag='"a"')
REST = answer("206 Partial Content", b"56789", Content_Length=5, Content_Range="bytes 5-9/10", ETag='"a"')


# What it gets


def test_a_body_goes_to_the_standard_output(network: Network, site: str) -> None:
    done = network.run("curl", f"{site}big")
    assert (done.returncode, done.stdout == BIG, done.stderr) == (0, True, b"")
    assert network.run("curl", f"{site}hello.txt", program=DMSG).stdout == b"hello\n"


def test_heads(network: Network, site: str) -> None:
    done = network.run("curl", "-i", f"{site}hello.txt")
    head, _, rest = done.stdout.partition(b"\n\n")
    assert (head.splitlines()[0], rest) == (b"HTTP/1.1 200 OK", b"hello\n")
    done = network.run("curl", "-I", f"{site}hello.txt")
    assert b"content-length: 6\n" in done.stdout
    assert done.stdout.endswith(b"\n\n")
    facts = json.loads(network.run("curl", "-I", "--json", f"{site}hello.txt").stdout)
    assert (facts["status"], facts["size"], facts["file"]) == (200, 0, None)
    assert facts["headers"]["content-length"] == "6"


def test_a_file(network: Network, site: str, tmp_path: Path) -> None:
    file = tmp_path / "big"
    done = network.run("curl", "-o", file, "--json", f"{site}big")
    facts = json.loads(done.stdout)
    assert (done.returncode, file.read_bytes() == BIG, done.stderr) == (0, True, b"")
    assert facts["seconds"] > 0
    assert {name: facts[name] for name in ("url", "status", "size", "resumed_at", "file")} == {
        "url": f"{site}big",
        "status": 200,
        "size": len(BIG),
        "resumed_at": 0,
        "file": str(file),
    }
    file.write_text("precious")
    done = network.run("curl", "-o", file, f"{site}big")
    assert (done.returncode, file.read_text()) == (1, "precious")
    assert b"exists already: use --replace or --continue" in done.stderr
    assert network.run("curl", "-o", file, "--replace", f"{site}big").returncode == 0
    assert network.run("curl", "-o", file, "--continue", f"{site}big").returncode == 0
    assert file.read_bytes() == BIG
    assert [each.name for each in tmp_path.iterdir()] == ["big"]


def test_errors_of_the_server(network: Network, site: str, tmp_path: Path) -> None:
    done = network.run("curl", f"{site}none")
    assert (done.returncode, done.stdout) == (0, b"Not Found")
    done = network.run("curl", "--fail", f"{site}none", "-o", tmp_path / "file")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"skywire: the answer of {site}none is 404 Not Found\n"
    assert list(tmp_path.iterdir()) == []
    assert b"405" in network.run("curl", "-i", "-d", "x", f"{site}hello.txt").stdout


def test_a_file_that_cannot_be_written(network: Network, site: str, tmp_path: Path) -> None:
    done = network.run("curl", f"{site}hello.txt", "-o", tmp_path / "none" / "file")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"No such file or directory" in done.stderr


# What it sends


def test_what_is_sent_comes_back(network: Network, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)
    with network.peer({80: http_handler(echo)}) as key:
        url = f"dmsg://{key}/"
        assert network.run("curl", "-d", "some text", url).stdout == b"some text"
        assert network.run("curl", "--data-file", file, url).stdout == BIG
        assert network.run("curl", "--data-file", "-", url, data=BIG).stdout == BIG
        with file.open("rb") as source, network.running("curl", "--data-file", "-", url, stdin=source) as program:
            out, _ = program.process.communicate(timeout=PATIENCE)
            assert out == BIG
        done = network.run("curl", "--data-file", tmp_path / "none", url)
        assert done.returncode == 1
        assert b"cannot read" in done.stderr


def test_a_request_as_it_is_sent(network: Network, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("from a file")
    script = Script([body()] * 4)
    with network.peer({8080: script}) as key:
        url = f"dmsg://{key}:8080/a/b?c=d"
        network.run("curl", url)
        network.run("curl", "-X", "PUT", "-d", "text", "-H", "X-One: 1", "-H", "content-type: text/html", url)
        network.run("curl", "-d", "text", url)
        network.run("curl", "--data-file", file, url)
    assert script.requests[0].startswith(b"GET /a/b?c=d HTTP/1.1\r\n")
    assert script.fields(0)["host"] == f"{key}:8080"
    assert script.requests[1].startswith(b"PUT ")
    assert script.requests[1].endswith(b"\r\n\r\ntext")
    assert (script.fields(1)["x-one"], script.fields(1)["content-type"]) == ("1", "text/html")
    assert (script.requests[2].split()[0], script.fields(2)["content-type"]) == (b"POST", "text/plain")
    assert script.fields(3)["content-type"] == "application/octet-stream"
    assert script.fields(3)["content-length"] == "11"


def test_files_whose_size_says_nothing(network: Network, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with network.peer({80: http_handler(echo)}) as key:
        assert network.run("curl", "--data-file", VERSION, f"dmsg://{key}/").stdout == VERSION.read_bytes()
        done = network.run("curl", "--data-file", empty, f"dmsg://{key}/")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("size", [1, 10_000_000])
def test_a_file_that_changes_while_it_is_sent(network: Network, tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(5_000_000))

    async def change(conn: Conn) -> None:
        await conn.receive()
        os.truncate(file, size)
        while True:
            await conn.receive()

    with network.peer({80: change}) as key:
        done = network.run("curl", "--data-file", file, f"dmsg://{key}/")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"skywire: {file} changed while it was sent\n"


@pytest.mark.parametrize("field", ["Content-Length: 50", "Content-Length: x", "X Y: a"])
def test_a_request_that_http_does_not_know(network: Network, field: str) -> None:
    with network.peer({80: Script([])}) as key:
        done = network.run("curl", "-d", "x", "-H", field, f"dmsg://{key}/")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"this is no request of HTTP" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "."], "--output names a file, this is '.'"),
        (["-o", ""], "--output names a file, this is ''"),
        (["-o", "/"], "--output names a file, this is '/'"),
        (["-X", "é"], "--request is one word of HTTP, this is 'é'"),
        (["-X", "GET IT"], "--request is one word of HTTP, this is 'GET IT'"),
        (["-X", "\udcff"], r"--request is one word of HTTP, this is '\udcff'"),
        ([f"dmsg://{KEY.public}/\udcff"], r"\udcff' is no URL"),
    ],
)
def test_arguments_that_are_none(network: Network, arguments: list[str], reason: str) -> None:
    url = [] if len(arguments) == 1 else [f"dmsg://{KEY.public}/"]
    done = network.run("curl", *arguments, *url)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert reason in done.stderr.decode()


# Who is not there, or does not want us


def test_nobody_there(network: Network, site: str) -> None:
    done = network.run("curl", f"dmsg://{KEY.public}/")
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.decode().startswith(f"skywire: cannot reach dmsg://{KEY.public}:80: ")
    with network.peer({}) as key:
        done = network.run("curl", f"dmsg://{key}/", program=DMSG)
        assert done.returncode == 4
        assert done.stderr.decode().startswith(f"dmsg: cannot reach dmsg://{key}:80: ")


def test_only_who_is_allowed_gets_in(network: Network, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("for a friend")
    friend = tmp_path / "friend.key"
    keyfile.save(friend, KEY)
    with network.running("http", tmp_path, "-p", "8000", "--allow", str(KEY.public), "--json") as server:
        facts = json.loads(server.line())
        assert facts["folder"] == str(tmp_path)
        assert facts["url"].startswith("dmsg://")
        assert facts["url"].endswith(":8000/")
        assert network.run("curl", f"{facts['url']}file", "--key-file", friend).stdout == b"for a friend"
        assert network.run("curl", f"{facts['url']}file").returncode == 4
        server.signal(signal.SIGINT)
        assert server.end()[0] == 130


def test_named_servers_instead_of_a_discovery(network: Network, tmp_path: Path) -> None:
    servers = [argument for server in network.served.servers for argument in ("--server", server)]
    (tmp_path / "file").write_text("without a discovery")
    without = {"SKYWIRE_DMSG_DISC": "http://127.0.0.1:1"}
    with network.running("http", tmp_path, "--allow-all", *servers) as server:
        done = network.run("curl", f"{server.line()}file", *servers, environment=without)
    assert (done.returncode, done.stdout) == (0, b"without a discovery")


def test_a_folder_that_cannot_be_reached(network: Network, tmp_path: Path) -> None:
    done = network.run("http", tmp_path, "--allow-all", "--disc", "http://127.0.0.1:1", "--timeout", "0.2", "-q")
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr == b"skywire: no server that peers could come through was found in time\n"


def test_a_folder_tells_of_requests(network: Network, tmp_path: Path) -> None:
    with network.running("http", tmp_path, "--allow-all", "-v") as server:
        url = server.line()
        network.run("curl", f"{url}x%1b", environment={"SKYWIRE_DMSG_SK": KEY.expose_hex()})
        server.signal(signal.SIGTERM)
        code, _, err = server.end()
    assert code == 0
    assert f"{KEY.public} GET '/x%1b' 404, 9 bytes" in err
    key = PubKey.from_hex(url.removeprefix("dmsg://").partition(":")[0])
    assert network.portal.call(network.served.deployment.discovery.entry, key) is None


# Answers that break off, and going on


def test_a_truncated_answer_is_continued(network: Network, tmp_path: Path) -> None:
    file, script = tmp_path / "file", Script([TRUNCATED, REST])
    with network.peer({80: script}) as key:
        done = network.run("curl", f"dmsg://{key}/", "-o", file)
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"the answer did not come, or not to its end" in done.stderr
        assert not file.exists()
        assert (tmp_path / "file.part").read_bytes() == b"01234"
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C", "--json")
    assert (done.returncode, file.read_bytes()) == (0, b"0123456789")
    facts = json.loads(done.stdout)
    assert (facts["size"], facts["resumed_at"]) == (10, 5)
    assert script.fields()["range"] == "bytes=5-"
    assert script.fields()["if-range"] == '"a"'
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_without_being_told_it_begins_anew(network: Network, tmp_path: Path) -> None:
    file, script = tmp_path / "file", Script([TRUNCATED, body()])
    with network.peer({80: script}) as key:
        network.run("curl", f"dmsg://{key}/", "-o", file)
        assert network.run("curl", f"dmsg://{key}/", "-o", file).returncode == 0
    assert file.read_bytes() == b"0123456789"
    assert "range" not in script.fields()


def test_it_tries_again(network: Network, tmp_path: Path) -> None:
    file, script = tmp_path / "file", Script([TRUNCATED, b"", REST])
    with network.peer({80: script}) as key:
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-r", "2", "--retry-wait", "0")
    assert (done.returncode, file.read_bytes()) == (0, b"0123456789")
    assert done.stderr.count(b"the next attempt is in 0 s") == 2
    assert len(script.requests) == 3


def test_it_tries_again_where_nobody_is(network: Network) -> None:
    done = network.run("curl", f"dmsg://{KEY.public}/", "-r", "2", "--retry-wait", "0", "-q")
    assert (done.returncode, done.stderr.count(b"\n")) == (3, 1)


def test_what_is_printed_is_not_printed_twice(network: Network) -> None:
    script = Script([TRUNCATED, body()])
    with network.peer({80: script}) as key:
        done = network.run("curl", f"dmsg://{key}/", "-r", "5", "--retry-wait", "0")
    assert (done.returncode, done.stdout, len(script.requests)) == (1, b"01234", 1)


def test_a_server_that_is_busy_costs_nothing(network: Network, tmp_path: Path) -> None:
    busy = body("503 Service Unavailable", b"come back later")
    file, script = tmp_path / "file", Script([TRUNCATED, busy, REST])
    with network.peer({80: script}) as key:
        network.run("curl", f"dmsg://{key}/", "-o", file)
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C")
        assert (done.returncode, done.stdout, file.exists()) == (1, b"", False)
        assert b"answers with status 503" in done.stderr
        assert network.run("curl", f"dmsg://{key}/", "-o", file, "-C").returncode == 0
    assert file.read_bytes() == b"0123456789"


def test_what_has_changed_is_fetched_anew(network: Network, tmp_path: Path) -> None:
    file, script = tmp_path / "file", Script([TRUNCATED, body(data=b"something else", ETag='"b"')])
    with network.peer({80: script}) as key:
        network.run("curl", f"dmsg://{key}/", "-o", file)
        assert network.run("curl", f"dmsg://{key}/", "-o", file, "-C").returncode == 0
    assert file.read_bytes() == b"something else"


def test_only_the_name_was_missing(network: Network, tmp_path: Path) -> None:
    # All bytes came, and the connection broke in the last chunk of nothing.
    chunked = answer("200 OK", b"5\r\n01234\r\n", Transfer_Encoding="chunked", ETag='"a"')
    file = tmp_path / "file"
    script = Script([chunked, answer("416 Range Not Satisfiable", Content_Length=0, Content_Range="bytes */5")])
    with network.peer({80: script}) as key:
        assert network.run("curl", f"dmsg://{key}/", "-o", file).returncode == 1
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C", "--json")
    assert (done.returncode, file.read_bytes()) == (0, b"01234")
    assert json.loads(done.stdout)["resumed_at"] == 5


def test_a_rest_that_is_cut_short_is_not_complete(network: Network, tmp_path: Path) -> None:
    head = answer("206 Partial Content", b"567", Connection="close", Content_Range="bytes 5-9/10", ETag='"a"')
    rest = answer("206 Partial Content", b"89", Content_Length=2, Content_Range="bytes 8-9/10", ETag='"a"')
    file, script = tmp_path / "file", Script([TRUNCATED, head, head.replace(b"5-9", b"8-9"), rest])
    with network.peer({80: script}) as key:
        assert network.run("curl", f"dmsg://{key}/", "-o", file).returncode == 1
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C")
        assert (done.returncode, file.exists()) == (1, False)
        assert b"ended at byte 8 of 10" in done.stderr
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C")
        assert (done.returncode, file.exists()) == (1, False)
        assert b"more than the 10 bytes" in done.stderr
        assert network.run("curl", f"dmsg://{key}/", "-o", file, "-C").returncode == 0
    assert file.read_bytes() == b"0123456789"


def test_a_rest_that_is_cut_short_is_tried_again(network: Network, tmp_path: Path) -> None:
    short = answer("206 Partial Content", b"567", Connection="close", Content_Range="bytes 5-9/10", ETag='"a"')
    rest = answer("206 Partial Content", b"89", Content_Length=2, Content_Range="bytes 8-9/10", ETag='"a"')
    file = tmp_path / "file"
    with network.peer({80: Script([TRUNCATED, short, rest])}) as key:
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-r", "2", "--retry-wait", "0")
    assert (done.returncode, file.read_bytes()) == (0, b"0123456789")


@pytest.mark.parametrize("arguments", [("-X", "PUT"), ("-H", "Range: bytes=3-12")])
def test_what_cannot_be_continued_is_tried_anew(network: Network, tmp_path: Path, arguments: tuple[str, str]) -> None:
    file, script = tmp_path / "file", Script([TRUNCATED, body()])
    with network.peer({80: script}) as key:
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-r", "1", "--retry-wait", "0", *arguments)
    assert (done.returncode, file.read_bytes()) == (0, b"0123456789")
    assert "if-range" not in script.fields()


def test_an_error_replaces_no_file_that_is_to_be_continued(network: Network, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with network.peer({80: Script([body("404 Not Found", b"nope")])}) as key:
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C")
    assert (done.returncode, file.read_text()) == (1, "precious")
    assert b"answers with status 404" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_two_at_a_time(network: Network, tmp_path: Path) -> None:
    asked, go_on = Event(), AsyncEvent()

    async def hold(conn: Conn) -> None:
        await conn.receive()
        asked.set()
        await go_on.wait()
        await conn.send(body())

    file = tmp_path / "file"
    with (
        network.peer({80: hold}) as key,
        network.running("curl", f"dmsg://{key}/", "-o", file) as first,
    ):
        assert asked.wait(PATIENCE)
        done = network.run("curl", f"dmsg://{key}/", "-o", file, "-C")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode() == f"skywire: another download to {file} is under way\n"
        network.portal.call(go_on.set)
        assert first.end() == (0, "", "")
    assert file.read_bytes() == b"0123456789"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


# Peers that mean harm


async def endless(conn: Conn) -> None:
    await conn.receive()
    await conn.send(answer("200 OK", Content_Type="text/plain"))
    while True:
        await conn.send(bytes(65536))


def test_an_answer_that_does_not_end(network: Network, tmp_path: Path) -> None:
    with network.peer({80: endless}) as key:
        done = network.run("curl", f"dmsg://{key}/", "--max-size", "1000000", "-o", tmp_path / "file")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode() == f"skywire: the answer of dmsg://{key}/ is longer than 1000000 bytes\n"
        assert list(tmp_path.iterdir()) == []
        done = network.run("curl", f"dmsg://{key}/", "--max-size", "1000000")
        assert done.returncode == 1
        assert len(done.stdout) <= 1_000_000


def test_an_answer_that_says_it_is_too_long(network: Network, tmp_path: Path) -> None:
    with network.peer({80: Script([body()] * 2)}) as key:
        done = network.run("curl", f"dmsg://{key}/", "--max-size", "9", "-o", tmp_path / "file")
        assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
        assert network.run("curl", f"dmsg://{key}/", "--max-size", "10").stdout == b"0123456789"


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000],
    ids=["nothing", "another protocol", "half a head", "a head without end"],
)
def test_an_answer_that_is_none(network: Network, nonsense: bytes) -> None:
    with network.peer({80: Script([nonsense])}) as key:
        done = network.run("curl", f"dmsg://{key}/")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert done.stderr.startswith(b"skywire: the answer did not come")


def test_a_peer_that_does_not_answer(network: Network) -> None:
    async def hold(conn: Conn) -> None:
        await sleep_forever()

    with network.peer({80: hold}) as key:
        done = network.run("curl", f"dmsg://{key}/", "--timeout", "1")
    assert done.returncode == 1
    assert b"sent no whole head of an answer in 1 s" in done.stderr


def test_a_peer_that_never_comes_to_the_point(network: Network) -> None:
    async def go_on(conn: Conn) -> None:
        await conn.receive()
        while True:
            await conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await sleep(0.05)

    with network.peer({80: go_on}) as key:
        done = network.run("curl", f"dmsg://{key}/", "--timeout", "1")
    assert done.returncode == 1
    assert b"sent no whole head of an answer in 1 s" in done.stderr


def test_a_head_commands_no_terminal(network: Network) -> None:
    evil = answer("200 O\x1b[2JK", Content_Length=0, X="\x1b]0;title\x07\x9b")
    with network.peer({80: Script([evil, evil])}) as key:
        done = network.run("curl", "-i", f"dmsg://{key}/")
        assert b"HTTP/1.1 200 O?[2JK\n" in done.stdout
        assert not set(done.stdout) & {0x1B, 0x07, 0x9B}


# How it ends, and what it shows


def test_nobody_reads_the_output(network: Network) -> None:
    with network.peer({80: endless}) as key, network.running("curl", f"dmsg://{key}/") as program:
        assert program.read(100_000) == bytes(100_000)
        program.read_no_more()
        assert program.end()[::2] == (1, "")


def test_an_interruption(network: Network) -> None:
    with network.peer({80: endless}) as key, network.running("curl", f"dmsg://{key}/") as program:
        program.read(10)
        program.signal(signal.SIGINT)
        code, _, err = program.end()
    assert (code, err) == (130, "")


def shown_at_a_terminal(run: Callable[[int], None]) -> str:
    """What is written to a terminal by ``run``, which is given it."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        run(theirs)
        os.close(theirs)
        shown = b""
        try:
            while data := terminal.read(65536):
                shown += data
        except OSError:  # how the end of a terminal shows
            pass
    return shown.decode()


def test_progress_is_shown_at_a_terminal(network: Network, site: str, tmp_path: Path) -> None:
    def get(terminal: int, *more: str) -> None:
        file = tmp_path / f"big{len(more)}"
        with network.running("curl", f"{site}big", "-o", file, *more, stderr=terminal) as program:
            assert program.process.wait(PATIENCE) == 0

    assert "700" in shown_at_a_terminal(get)
    assert shown_at_a_terminal(lambda terminal: get(terminal, "-q")) == ""
