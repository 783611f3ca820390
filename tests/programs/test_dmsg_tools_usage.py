"""What the dmsg tools refuse before they do anything, and how they get into the network."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from skywire import SecKey, keyfile
from skywire.cli.main import app
from skywire.cli.program import run
from tests.programs.running import DMSG, SKYWIRE, Network

KEY = SecKey(b"\x31" * 32)
PK = str(KEY.public)
URL = f"dmsg://{PK}/"
DISC = "--disc http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SKYWIRE_DMSG_DISC", "SKYWIRE_DMSG_SK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ip", "there is no way into the network yet: name a discovery with --disc"),
        ("ip --disc ftp://x", "reached by http:// or https://"),
        ("ip --disc http://x?y", "the URL of a discovery is"),
        (f"ip {DISC} --server {PK}@127.0.0.1:1", "use --disc or --server, not both"),
        ("ip --server 127.0.0.1:1", "a server is <public key>@<host>:<port>"),
        (f"ip --server {PK}@127.0.0.1", "a local address is host:port"),
        ("ip --server 02@127.0.0.1:1", "a public key is 66 hexadecimal"),
        (f"ip {DISC} --timeout 0", "--timeout is above 0"),
        (f"ip {DISC} --timeout nan", "--timeout is above 0"),
        (f"ip {DISC} --passphrase-file x", "name it with --key-file"),
        ("probe 02", "a public key is 66 hexadecimal"),
        # curl
        ("curl https://example.org/", "a URL is dmsg://"),
        ("curl /path", "a URL is dmsg://"),
        ("curl dmsg:///path", "a URL is dmsg://"),
        (f"curl dmsg://me:pw@{PK}/", "a URL is dmsg://"),
        ("curl dmsg://02/", "a public key is 66 hexadecimal"),
        (f"curl dmsg://{PK}:0/", "a port is 1 to 65535"),
        (f"curl dmsg://{PK}:99999/", "a port is 1 to 65535"),
        (f"curl dmsg://{PK}/{'x' * 9000}", "at most 8192 characters"),
        (f"curl dmsg://{PK}/\x07", "is no URL"),
        (f"curl {URL} -d x --data-file y", "not both"),
        (f"curl {URL} -I -d x", "--head has nothing to send"),
        (f"curl {URL} -I -o x", "--head has nothing to send"),
        (f"curl {URL} -I -X GET", "--head is a HEAD"),
        (f"curl {URL} --json -i -o x", "leave --include out"),
        (f"curl {URL} --json", "name a file with --output"),
        (f"curl {URL} --replace", "name it with --output"),
        (f"curl {URL} --continue", "name it with --output"),
        (f"curl {URL} -C -o x -d x", "this is a POST"),
        (f"curl {URL} -C -o x -H 'Range: bytes=0-'", "a range of its own"),
        (f"curl {URL} -r -1", "are 0 or more"),
        (f"curl {URL} --retry-wait inf", "are 0 or more"),
        (f"curl {URL} -r 1 --data-file -", "cannot be sent twice"),
        (f"curl {URL} --max-size -1", "--max-size is 0 or more"),
        (f"curl {URL} -H nothing", "a header field is 'Name: value'"),
        (f"curl {URL} -H ': x'", "a header field is 'Name: value'"),
        (f"curl {URL} -H 'ü: x'", "a header field is 'Name: value'"),
        (f"curl {URL} -H 'x: €'", "a header field is 'Name: value'"),
        # http
        (f"http {DISC}", "name who may come with --allow <public key>, or let everyone in with --allow-all"),
        (f"http {DISC} --allow 02", "a public key is 66 hexadecimal"),
        (f"http {DISC} --allow {PK} --allow-all", "use --allow-all or --allow, not both"),
        (f"http {DISC} --allow-all --port 0", "a port is 1 to 65535"),
        (f"http {DISC} --allow-all --port 7", "where pings are answered"),
        (f"http {DISC} --allow-all --sessions -1", "--sessions is 0"),
        (f"http {DISC} --allow-all /no/such/folder", "is no folder"),
        # cat
        ("cat", "either name a peer"),
        (f"cat {PK}:5 --listen 5", "either name a peer"),
        (f"cat {PK}", "an address is dmsg://"),
        ("cat 02:5", "a public key is 66 hexadecimal"),
        (f"cat {PK}:5 --linger -1", "--linger is 0 or more"),
        (f"cat {PK}:5 --allow-all", "use them with --listen"),
        (f"cat {PK}:5 --keep", "use them with --listen"),
        ("cat --listen 70000", "a port is 1 to 65535"),
        ("cat --listen 5", "nobody would be admitted"),
        # iperf
        ("iperf", "either name a peer"),
        (f"iperf {PK} --listen", "either name a peer"),
        ("iperf --listen --port 7 --allow-all", "where pings are answered"),
        ("iperf --listen", "nobody would be admitted"),
        (f"iperf {PK} --allow-all", "are for --listen"),
        (f"iperf {PK} --port 5", "are for --listen"),
        (f"iperf {PK} -t 1 -n 1", "not both"),
        (f"iperf {PK} -R --bidir", "leave --reverse out"),
        (f"iperf {PK} -P 0", "--parallel is 1 to 64"),
        (f"iperf {PK} -P 65", "--parallel is 1 to 64"),
        (f"iperf {PK} -t 0", "up to 300 seconds"),
        (f"iperf {PK} -t 301", "up to 300 seconds"),
        (f"iperf {PK} -n 0", "a stream measures 1 to"),
        (f"iperf {PK}:0 {DISC}", "a port is 1 to 65535"),
    ],
)
def test_wrong_usage(line: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(app, ["dmsg", *shlex.split(line)])
    shown = capsys.readouterr()
    assert reason in shown.err
    assert (caught.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)


def test_both_programs_have_the_tools() -> None:
    for program in (SKYWIRE, DMSG):
        done = subprocess.run([*program, "--help"], capture_output=True, text=True, timeout=30, check=True)
        for name in ("curl", "http", "cat", "iperf", "probe", "ip", "disc", "server"):
            assert f"│ {name} " in done.stdout


def test_a_version_needs_none_of_them() -> None:
    code = (
        "import sys; from skywire.cli.main import app; app(['--version'], result_action='return_none'); "
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith(("skywire.dmsg", "skywire.http", "httpx"))}
    assert loaded == set()


def test_a_discovery_that_is_not_there() -> None:
    for tool in ("ip", "probe"):
        done = subprocess.run([*DMSG, tool, *DISC.split()], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 3
        assert "cannot reach the discovery http://127.0.0.1:1" in done.stdout + done.stderr


def test_a_key_file_is_our_identity(network: Network, tmp_path: Path) -> None:
    plain, sealed, words = tmp_path / "plain", tmp_path / "sealed", tmp_path / "words"
    keyfile.save(plain, KEY)
    keyfile.save(sealed, KEY, passphrase="open sesame")
    words.write_text("open sesame\nanother line\n")
    choices: list[list[str | Path]] = [["--key-file", plain], ["--key-file", sealed, "--passphrase-file", words]]
    for arguments in choices:
        with network.running("cat", "--listen", "5", "--allow-all", *arguments) as listener:
            assert listener.line("stderr") == f"waiting at dmsg://{PK}:5"


def test_a_key_from_the_environment(network: Network) -> None:
    done = network.run("ip", environment={"SKYWIRE_DMSG_SK": "0" * 64})
    assert done.returncode == 2
    assert done.stderr.startswith(b"skywire: SKYWIRE_DMSG_SK: ")
    done = network.run("ip", "-v", environment={"SKYWIRE_DMSG_SK": KEY.expose_hex() + "\n"})
    assert (done.returncode, done.stdout) == (0, b"127.0.0.1\n")
    assert KEY.expose_hex().encode() not in done.stderr


def test_a_sealed_key_file_without_a_passphrase(network: Network, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    keyfile.save(sealed, KEY, passphrase="open sesame")
    done = subprocess.run(
        [*SKYWIRE, "ip", "--key-file", sealed],
        env=network.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert b"is sealed: give its passphrase with --passphrase-file" in done.stderr
    done = network.run("ip", "--key-file", sealed, "--passphrase-file", tmp_path / "none")
    assert done.returncode == 1
    assert b"cannot read the passphrase" in done.stderr


AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("typed", "code", "shown"), [("open sesame\n", 0, "127.0.0.1"), ("\x04", 1, "no passphrase was typed")]
)
def test_a_passphrase_is_asked_for(network: Network, tmp_path: Path, typed: str, code: int, shown: str) -> None:
    sealed = tmp_path / "sealed"
    keyfile.save(sealed, KEY, passphrase="open sesame")
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", AT_A_TERMINAL, *SKYWIRE]
    with (
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        network.running("ip", "--key-file", sealed, stdin=theirs, program=program) as running,
    ):
        os.close(theirs)
        asked = b""
        while not asked.endswith(b"passphrase: "):
            asked += terminal.read(1)
        terminal.write(typed.encode())
        returned, out, err = running.end()
    assert returned == code
    assert shown in out + err
    assert "sesame" not in out + err
