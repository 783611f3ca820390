"""A real Redis for tests: on a port of its own, without a password or anything on disk."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import redis


class RedisServer:
    """A ``redis-server`` that can be stopped, started again at the same port, and held up."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed: the tests of the discovery need it (package redis-server)"
        self._program = program
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._options],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        for line in self._process.stdout:
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"redis-server ended with code {self._process.wait()}")

    def stop(self) -> None:
        if self._process is not None:
            self.release()
            self._process.terminate()
            self._process.communicate(timeout=10)
            self._process = None

    def hold(self) -> None:
        """Let it answer nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def database(self) -> redis.Redis:
        """The database itself, past everything of ours."""
        return redis.Redis(host="127.0.0.1", port=self.port)
