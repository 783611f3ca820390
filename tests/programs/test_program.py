"""How the programs fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from skywire import Address, DialTimeout, PeerRefused, ProtocolError, SecKey, Unreachable
from skywire.cli.program import NotReached, UsageError, new_program, run

PATIENCE = 30
SKYWIRE = Path(sys.executable).parent / "skywire"
ADDRESS = Address("dmsg", SecKey(b"\x01" * 32).public, 80)


def program(error: BaseException) -> App:
    app = new_program("tool", "A tool.")

    @app.default
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("odd arguments"), 2),
        (Unreachable(ADDRESS, "no way there"), 3),
        (DialTimeout(ADDRESS, "no answer in time"), 3),
        (PeerRefused(ADDRESS, "not admitted"), 4),
        (ProtocolError("nonsense came"), 1),
        (NotReached("nobody there"), 3),
        (OSError(28, "No space left on device"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_one_line_and_a_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(program(error), [])
    assert caught.value.code == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"tool: {error}\n")


def test_an_interruption_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(program(KeyboardInterrupt()), [])
    assert caught.value.code == 130
    assert capsys.readouterr().err == ""


def test_a_group_is_told_by_the_one_error_that_matters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(program(ExceptionGroup("", [ExceptionGroup("", [NotReached("nobody there")])])), [])
    assert caught.value.code == 3
    assert capsys.readouterr().err == "tool: nobody there\n"
    with pytest.raises(ExceptionGroup):
        run(program(ExceptionGroup("", [NotReached("nobody there"), RuntimeError("a defect")])), [])


@pytest.mark.parametrize("command", ["--help", "--version", "cli config gen-keys", "dmsg disc -a 127.0.0.1:0"])
def test_an_output_that_cannot_be_written(command: str) -> None:
    done = subprocess.run(
        f"exec {SKYWIRE} {command} > /dev/full", shell=True, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"skywire: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_service_without_standard_streams_ends_as_others_do(closed: str, tmp_path: Path) -> None:
    """libuv aborts when it has to close one of their descriptors."""
    ready = tmp_path / "ready"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(ready))
        told.settimeout(PATIENCE)
        process = subprocess.Popen(
            f"exec {SKYWIRE} dmsg disc -a 127.0.0.1:0 {closed}",
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(ready)},
        )
        assert told.recv(100) == b"READY=1"
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="a defect"):
        run(program(RuntimeError("a defect")), [])


@pytest.mark.parametrize(
    "line",
    [
        "SECRET",
        "--sk SECRET",
        "--sk=SECRET",
        "--name SECRET",
        "--name SECRET@127.0.0.1:1",
        "--count SECRET",
    ],
)
def test_what_may_be_a_secret_key_among_the_arguments_is_not_shown(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = SecKey(b"\xab" * 32).expose_hex()
    tool = new_program("tool", "A tool.")

    @tool.default
    def fail(*, name: str = "", count: int = 0) -> None:
        raise UsageError(f"there is no {name!r}, nor {count}")

    with pytest.raises(SystemExit) as caught:
        run(tool, line.replace("SECRET", secret).split())
    shown = capsys.readouterr()
    assert (caught.value.code, shown.out) == (2, "")
    words = " ".join(shown.err.replace("│", " ").split())
    assert secret not in words.replace(" ", "")
    hidden = "(hidden)" in words
    assert hidden == ("name the file of a key with --key-file" in words)
    assert hidden != line.startswith("--sk")


def test_what_the_caller_did_not_give_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    digest = "ab" * 32
    with pytest.raises(SystemExit):
        run(program(ProtocolError(f"the file has SHA-256 {digest}")), [])
    assert capsys.readouterr().err == f"tool: the file has SHA-256 {digest}\n"


@pytest.mark.parametrize("columns", ["0", "1", "2", "19"])
def test_a_help_comes_to_its_end_however_narrow_the_terminal_is_said_to_be(columns: str) -> None:
    done = subprocess.run(
        [SKYWIRE, "cli", "config", "gen-keys", "--help"],
        env={**os.environ, "COLUMNS": columns},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--out" in done.stdout
