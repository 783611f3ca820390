"""The key commands of all three programs, as their users run them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from skywire import PubKey, SecKey, keyfile

PROGRAMS = {
    "skywire": [sys.executable, "-m", "skywire", "cli", "config"],
    "dmsg": [sys.executable, "-m", "skywire_dmsg", "conf"],
    "standalone": [sys.executable, "-m", "skywire_standalone", "conf"],
}
KEY = SecKey(b"\x07" * 32)


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> list[str]:
    return PROGRAMS[request.param]


def run(program: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )


def test_gen_keys_prints_a_pair(program: list[str]) -> None:
    done = run(program, "gen-keys")
    public, secret = done.stdout.split()
    assert SecKey.from_hex(secret).public == PubKey.from_hex(public)
    assert (done.returncode, done.stderr) == (0, "")


def test_gen_keys_as_json(program: list[str]) -> None:
    answer = json.loads(run(program, "gen-keys", "--json").stdout)
    assert SecKey.from_hex(answer["secret_key"]).public.hex() == answer["public_key"]


def test_gen_keys_into_a_file(program: list[str], tmp_path: Path) -> None:
    path = tmp_path / "key"
    done = run(program, "gen-keys", "--out", path)
    key = keyfile.load(path)
    assert done.stdout == f"{key.public}\n"
    assert key.expose_hex() not in done.stdout + done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = run(program, "gen-keys", "-o", path)
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr
    assert keyfile.load(path) == key
    replaced = run(program, "gen-keys", "-o", path, "--replace", "--json")
    assert json.loads(replaced.stdout) == {"public_key": keyfile.load(path).public.hex(), "key_file": str(path)}


def test_gen_keys_with_a_passphrase_file(tmp_path: Path) -> None:
    words, path = tmp_path / "words", tmp_path / "key"
    words.write_text("correct horse\nsecond line\n")
    assert run(PROGRAMS["skywire"], "gen-keys", "-o", path, "--passphrase-file", words).returncode == 0
    assert keyfile.load(path, lambda: "correct horse").public == keyfile.public_key(path)
    missing = run(PROGRAMS["skywire"], "gen-keys", "-o", tmp_path / "other", "--passphrase-file", tmp_path / "none")
    assert missing.returncode == 1
    assert "cannot read the passphrase" in missing.stderr


@pytest.mark.parametrize(
    "arguments",
    ["--replace", "--passphrase", "--passphrase-file f", "-o k --passphrase --passphrase-file f"],
)
def test_gen_keys_refuses_what_does_not_fit(arguments: str, tmp_path: Path) -> None:
    words = (tmp_path / word if word in "kf" else word for word in arguments.split())
    done = run(PROGRAMS["skywire"], "gen-keys", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("skywire: ")
    assert list(tmp_path.iterdir()) == []


def test_check_pk(program: list[str]) -> None:
    good = run(program, "check-pk", KEY.public.hex().upper())
    assert (good.returncode, good.stdout) == (0, f"valid public key: {KEY.public}\n")
    assert json.loads(run(program, "check-pk", str(KEY.public), "--json").stdout) == {
        "public_key": str(KEY.public),
        "valid": True,
    }
    for bad in ("02", "0" * 66, "02" + "00" * 31 + "05", "x" * 66):
        done = run(program, "check-pk", bad)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert "public key" in done.stderr


def test_wrong_usage_exits_with_2(program: list[str]) -> None:
    for arguments in (["--bogus"], ["no-such"], ["check-pk"]):
        assert run(program, *arguments).returncode == 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_version(name: str) -> None:
    done = run(PROGRAMS[name][:3], "--version")
    assert done.stdout.startswith(f"{name} 0.")


def typed(answers: list[str], *arguments: str | Path) -> tuple[int, str]:
    """Run gen-keys at a terminal on which ``answers`` are typed; its exit code and what the terminal showed."""
    ours, theirs = pty.openpty()
    shown = b""
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            [*PROGRAMS["skywire"], "gen-keys", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        with process:
            for prompt, answer in zip((b"passphrase: ", b"again: "), answers, strict=True):
                while not shown.endswith(prompt):
                    shown += terminal.read(1)
                terminal.write(f"{answer}\n".encode())
            with contextlib.suppress(OSError):  # how the end of a terminal shows
                while data := terminal.read(1000):
                    shown += data
            return process.wait(30), shown.decode()


def test_a_passphrase_is_typed_twice_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    code, shown = typed(["open sesame", "open sesame"], "-o", path, "--passphrase")
    assert code == 0
    assert str(keyfile.load(path, lambda: "open sesame").public) in shown
    assert "sesame" not in shown
    code, shown = typed(["one", "two"], "-o", tmp_path / "other", "--passphrase")
    assert code == 1
    assert "differ" in shown
    assert not (tmp_path / "other").exists()
