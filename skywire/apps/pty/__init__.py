"""The remote shell: programs of this node for the keys that may, and programs of other nodes for its user.

Source: upstream-2026.md sections 2.6 and 4.5, protocol-dmsg.md section 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from skywire import HostPort, PubKey
from skywire.app import DMSG, SKYNET, App, AppHost, Command, Dependencies, NoOptions, PortSpec, TerminalCommand
from skywire.app.options import option

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

PTY: Final = PortSpec("pty", overlay=22, tcp=2022)
"""The numbers of the Go network."""
FAILED: Final = 255
"""The exit code of commands that end as far programs do, when it is us who fail."""
_A_DAY: Final = 24 * 60


@final
@dataclass(frozen=True)
class PtyOptions:
    """See the help of each.

    Raises:
        ValueError: one of them is out of its range.
    """

    allow: tuple[PubKey, ...] = option(
        (),
        help="keys that may run programs here, beside this node's own and those of `allow`; none: nobody else",
    )
    keep_minutes: int = option(_A_DAY, help="minutes that a session goes on while nobody is attached to it")
    per_key: int = option(32, help="sessions of one key at a time")
    sessions: int = option(256, help="sessions at a time")
    local: HostPort | None = option(
        None, help="where its page is, on loopback; port 0: any; none: no page, for it gives a shell to who opens it"
    )

    def __post_init__(self) -> None:
        if self.keep_minutes < 0:
            raise ValueError("keep_minutes is at least 0")
        if self.per_key < 1 or self.sessions < 1:
            raise ValueError("per_key and sessions are at least 1")


@final
@dataclass(frozen=True)
class ShellArguments:
    """Args of ``shell``: where; and a session of before to go on with, or what to run instead of a shell."""

    peer: str
    words: tuple[str, ...]
    session: str = option("", help="a session to go on with, as `sessions` names it")


@final
@dataclass(frozen=True)
class ExecArguments:
    """Args of ``exec``: where, and what.

    Raises:
        ValueError: one of them is out of its range.
    """

    peer: str
    words: tuple[str, ...]
    time_limit: float = option(0.0, help="seconds until it is ended, and the exit code is 124; 0: it may take any time")
    folder: str = option("", help="where it begins; the home of the user there unless given")

    def __post_init__(self) -> None:
        if not 0 <= self.time_limit <= 30 * 86400:
            raise ValueError("time_limit is 0 to 2592000 seconds")


@final
@dataclass(frozen=True)
class CopyArguments:
    """Args of ``copy``: from where, and where to; one of them is ``<key>:<path>``."""

    source: str
    target: str
    force: bool = option(False, help="replace a file that is there already")


@final
@dataclass(frozen=True)
class PeerArguments:
    """Args of ``sessions``: where; here, of all keys, unless given."""

    peer: str = option("", help="the host; this one, and the sessions of all keys, unless given")


@final
@dataclass(frozen=True)
class EndArguments:
    """Args of ``end``: which session, and where."""

    session: str
    peer: str = option("", help="the host; this one unless given")


@final
@dataclass(frozen=True)
class KeyArguments:
    """Args of ``allow``, ``deny`` and ``confirm``: whom."""

    key: PubKey


@final
@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session.

    Args:
        id: of it.
        key: whose it is.
        command: what runs.
        started: when, Unix time in seconds.
        attached: whether a connection uses it now.
        terminal: whether it has a terminal.
    """

    id: str
    key: PubKey
    command: str
    started: int
    attached: bool
    terminal: bool


@final
@dataclass(frozen=True, slots=True)
class SessionList:
    """Sessions, the oldest first."""

    sessions: tuple[SessionInfo, ...]


@final
@dataclass(frozen=True, slots=True)
class AllowedKey:
    """A key that may run programs here, or has just been denied it.

    Args:
        key: which.
        why: ``own``, ``options`` or ``allowed``; or ``denied``, see ``until``.
        until: of one that has been denied: when it may again unless that is confirmed, Unix time in seconds; else 0.
    """

    key: PubKey
    why: str
    until: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class AllowedKeys:
    """All of them."""

    keys: tuple[AllowedKey, ...]


@final
@dataclass(frozen=True, slots=True)
class Denied:
    """What came of denying.

    Args:
        until: the key may again from then on unless ``confirm`` is said before, Unix time in seconds; 0 where it has
            no session, so that nobody is shut out by it, and nothing needs to be confirmed.
        hint: what to do, for people.
    """

    until: float
    hint: str


@final
@dataclass(frozen=True)
class WayArguments:
    """Args of ``way``: to where."""

    peer: str


@final
@dataclass(frozen=True, slots=True)
class Way:
    """How a host is reached.

    Args:
        socket: path of the local socket of this instance.
        address: what it is to be asked for, with ``dmsgpty/proxy``.
    """

    socket: str
    address: str


@final
@dataclass(frozen=True)
class Done:
    """It is on disk."""


SHELL: Final = TerminalCommand(
    "shell",
    "Your shell on another node, or the program that follows the key, at this terminal.",
    ShellArguments,
    "skywire.apps.pty.terminal:shell",
    failed=FAILED,
)
EXEC: Final = TerminalCommand(
    "exec",
    "Run a program on another node: its output, its errors and its exit status are this command's.",
    ExecArguments,
    "skywire.apps.pty.terminal:execute",
    failed=FAILED,
)
COPY: Final = TerminalCommand(
    "copy",
    "Copy a file from another node, or to one: one of the two is KEY:PATH. What broke off is continued.",
    CopyArguments,
    "skywire.apps.pty.terminal_copy:copy",
)
SESSIONS: Final = Command("sessions", "Sessions of this node, or yours on another.", PeerArguments, SessionList)
END: Final = Command("end", "End a session: its program, too.", EndArguments, Done)
ALLOW: Final = Command("allow", "Let a key run programs here, from now on.", KeyArguments, Done)
DENY: Final = Command(
    "deny",
    "Take that back. Of a key that has sessions, for a minute only, unless it is confirmed.",
    KeyArguments,
    Denied,
)
CONFIRM: Final = Command("confirm", "Say that what was denied is to stay so; its sessions end.", KeyArguments, Done)
ALLOWED: Final = Command("allowed", "The keys that may run programs here.", NoOptions, AllowedKeys)
WAY: Final = Command(
    "way", "How programs of this machine reach a host: by which local socket, and at which address.", WayArguments, Way
)

PAGE: Final = Command(
    "page", "The address of its page, to open in a browser on this machine; good once.", NoOptions, str
)


async def _run(host: AppHost, options: PtyOptions, *, task_status: TaskStatus[None]) -> None:
    from skywire.apps.pty.serving import serve

    await serve(host, options, task_status=task_status)


PTY_APP: Final = App(
    name="pty",
    summary="A remote shell by public key: this node's for the keys that may, and other nodes' for you.",
    options=PtyOptions,
    run=_run,
    ports=(PTY,),
    critical=True,
    commands=(SHELL, EXEC, COPY, SESSIONS, END, ALLOW, DENY, CONFIRM, ALLOWED, WAY, PAGE),
    dependencies=Dependencies(wants=(DMSG, SKYNET)),
)
