"""Who may run programs here: the node itself, whom its options name, and whom a file names that may change any time.

The file is a JSON object: ``keys`` lists those that may, ``denied`` has those that may not any more, with the time
(Unix time in seconds) from which on they may again unless that is confirmed before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from anyio import Lock, to_thread

from skywire.app.typed_json import MisfitError, decode_object, encode
from skywire.apps.pty import AllowedKey
from skywire.keys import PubKey
from skywire.privatefile import PrivateFile
from skywire.pty.errors import PtyError

CONFIRM_SECONDS: Final = 60.0
"""For whoever denied a key that has sessions to confirm it."""
MOST_KEYS: Final = 4096
"""Keys in the file."""

_MOST_BYTES: Final = 1 << 20
_FILE: Final = PrivateFile("list of keys", _MOST_BYTES, PtyError)


@final
@dataclass(frozen=True)
class _Written:
    """What the file says."""

    keys: tuple[PubKey, ...] = ()
    denied: Mapping[str, float] = field(default_factory=dict)


@final
class Access(Container[PubKey]):
    """The keys that may, as things are now: the file is looked at whenever somebody comes.

    Args:
        path: of the file; it need not be there.
        own: the key of this node.
        fixed: the keys that the options name.
        now: Unix time in seconds.
    """

    def __init__(self, path: Path, own: PubKey, fixed: Iterable[PubKey], now: Callable[[], float] = time.time) -> None:
        self.trouble: str | None = None
        """What is wrong with the file; what it said last, when it was right, counts meanwhile."""
        self._path = path
        self._fixed = {own: "own", **dict.fromkeys((key for key in fixed if key != own), "options")}
        self._now = now
        self._written = _Written()
        self._seen: tuple[int, int, int] | None = None
        self._changing = Lock()

    def __contains__(self, key: object) -> bool:
        if key in self._fixed:
            return True
        written = self._read()
        return key in written.keys and written.denied.get(str(key), 0.0) <= self._now()

    def all(self) -> tuple[AllowedKey, ...]:
        """The keys that may, or may not for now, each with the reason."""
        written, now = self._read(), self._now()
        found = [AllowedKey(key, why) for key, why in self._fixed.items()]
        for key in written.keys:
            until = written.denied.get(str(key), 0.0)
            if key not in self._fixed:
                found.append(AllowedKey(key, "denied", until) if until > now else AllowedKey(key, "allowed"))
        return tuple(found)

    def keys(self) -> tuple[PubKey, ...]:
        """The keys that may, in upstream's sense: without this node's own, and those that may not for now."""
        return tuple(each.key for each in self.all() if each.why not in {"own", "denied"})

    async def allow(self, key: PubKey) -> bool:
        """Let a key in; whether it was out before.

        Raises:
            PtyError: it cannot be written.
        """
        async with self._changing:
            if key in self:
                return False
            written = self._read()
            denied = {each: until for each, until in written.denied.items() if each != str(key)}
            if key not in written.keys and len(written.keys) >= MOST_KEYS:
                raise PtyError(f"{MOST_KEYS} keys are allowed, as many as may be: deny some")
            await self._write(_Written(tuple(dict.fromkeys((*written.keys, key))), denied))
            return True

    async def deny(self, key: PubKey, seconds: float | None) -> float:
        """Keep a key out.

        Args:
            key: which.
            seconds: after which it may again, unless that is confirmed; None for never.

        Returns:
            When it may again, Unix time in seconds; 0 for never.

        Raises:
            PtyError: it is not for the file to say, or it cannot be written.
        """
        if (why := self._fixed.get(key)) is not None:
            whose = "this node's own" if why == "own" else "named by the option allow: change that"
            raise PtyError(f"{key} cannot be denied so, it is {whose}")
        async with self._changing:
            written = self._read()
            if key not in written.keys:
                raise PtyError(f"{key} is not allowed")
            until = 0.0 if seconds is None else self._now() + seconds
            denied = {each: then for each, then in written.denied.items() if each != str(key) and then > self._now()}
            if seconds is None:
                await self._write(_Written(tuple(each for each in written.keys if each != key), denied))
            else:
                await self._write(_Written(written.keys, {**denied, str(key): until}))
            return until

    def is_denied_for_now(self, key: PubKey) -> bool:
        """Whether a key is kept out, and may come in again unless that is confirmed."""
        return self._read().denied.get(str(key), 0.0) > self._now()

    def _read(self) -> _Written:
        """What the file says; read when it has changed."""
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            self._written, self._seen, self.trouble = _Written(), None, None
            return self._written
        except OSError as error:
            self.trouble = f"{self._path} cannot be read: {error.strerror}"
            return self._written
        seen = facts.st_mtime_ns, facts.st_ino, facts.st_size
        if seen != self._seen:
            self._seen = seen
            try:
                if facts.st_size > _MOST_BYTES or facts.st_mode & 0o022:
                    raise PtyError("it is too large, or others may write to it: chmod 600")
                self._written = decode_object(_Written, json.loads(self._path.read_text("utf-8")), "it")
                self.trouble = None
            except (OSError, ValueError, MisfitError, PtyError) as error:
                self.trouble = f"{self._path} cannot be used, and what it said before counts: {error}"
        return self._written

    async def _write(self, written: _Written) -> None:
        if self.trouble is not None:
            raise PtyError(f"it would be overwritten: {self.trouble}")
        text = json.dumps(encode(written), indent=2) + "\n"
        await to_thread.run_sync(lambda: _FILE.write(self._path, text, replace=True))
        self._read()  # so that it is what counts, should the file be broken by the next who writes it
