"""What the three programs share: how they run, fail and speak.

Results go to the standard output, everything else to the standard error. Exit codes: 0 done, 1 failed, 2 wrong usage,
3 nobody to reach, 4 refused by the peer, 130 interrupted.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeAlias

from cyclopts import App, Parameter

from skywire.errors import NetworkError, SkywireError
from skywire.version import __version__

if TYPE_CHECKING:
    from cyclopts import CycloptsError
    from rich.panel import Panel

LEAST_COLUMNS: Final = 20
"""Of a terminal that the environment tells: with fewer, what draws helps does not come to its end."""
_SECRET: Final = re.compile("(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")
"""What may be a secret key."""
_EXPOSED: Final = (
    "; what is hidden may be a secret key: others on this machine can read arguments, so name the file of a key with "
    "--key-file"
)


class ExitCode(IntEnum):
    """What a program tells its caller."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


class UsageError(SkywireError):
    """The arguments of a command do not fit each other."""


class NotReached(NetworkError):
    """Nobody to reach, other than at an address that was dialled."""


class Refused(SkywireError):
    """Somebody who was asked does not want to, and may be right."""


Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative="", help="Write one JSON object.")]
"""The switch of every command that tells facts."""


def new_program(name: str, summary: str) -> App:
    """The root of a program's command line."""
    app = App(name=name, help=summary, version_flags=[])
    # In place of cyclopts' own, which loads what formats Markdown, to write one word.
    app.command(lambda: print(f"{name} {__version__}"), name="--version", help="Tell the version.")
    return app


def new_group(name: str, summary: str) -> App:
    """A command that only has other commands."""
    return App(name=name, help=summary, version_flags=[])


Arranging: TypeAlias = Callable[[App, Sequence[str]], Sequence[str]]
"""What readies a command line for the arguments, and them for it."""


def run(app: App, arguments: Sequence[str] | None = None, *, arrange: Arranging | None = None) -> None:
    """Run a program to its end, and exit with its code.

    Args:
        app: the root of its command line.
        arguments: without the program's name; those of this process when None.
        arrange: is asked first.
    """
    _open_standard_descriptors()
    _widen()
    words = sys.argv[1:] if arguments is None else arguments
    app.error_formatter = partial(_drawn, words)
    try:
        try:
            app(words if arrange is None else arrange(app, words))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
            gc.freeze()  # the process ends: to look for garbage among all that was imported would only make it later
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        _fail(app, error, words)


def show_json(facts: Mapping[str, object]) -> None:
    """Write one JSON object to the standard output."""
    print(json.dumps(facts, indent=2))


def reason_of(error: Exception) -> Exception:
    """The one error to tell, of a group of them; the group itself when one of it is a defect."""
    if not isinstance(error, ExceptionGroup):
        return error
    reasons = [reason_of(each) for each in error.exceptions]
    return next((each for each in reasons if not isinstance(each, SkywireError | OSError)), reasons[0])


def _fail(app: App, error: Exception, words: Sequence[str]) -> NoReturn:
    reason = reason_of(error)
    if not isinstance(reason, SkywireError | OSError):
        raise error
    if isinstance(reason, OSError) and not isinstance(reason, SkywireError):
        # It may be the standard output that cannot be written; it must not fail again at exit.
        sys.stdout = None
    if not isinstance(reason, BrokenPipeError):  # else whoever read our output has had enough of it
        print(f"{app.name[0]}: {_without_secrets(str(reason), words)}", file=sys.stderr)
    sys.exit(_code(reason))


def _drawn(words: Sequence[str], error: CycloptsError) -> Panel:
    from cyclopts import CycloptsPanel  # loaded when something has failed

    return CycloptsPanel(_without_secrets(str(error), words))


def _without_secrets(text: str, words: Sequence[str]) -> str:
    """The text of an error, without what may be secret of the arguments: errors are kept, in logs for instance."""
    given = {found for word in words for found in _SECRET.findall(word)}
    shown = _SECRET.sub(lambda found: "(hidden)" if found[0] in given else found[0], text)
    return shown if shown == text else f"{shown}{_EXPOSED}"


def _code(reason: Exception) -> ExitCode:
    from skywire.net.errors import DialError, PeerRefused  # loaded when something has failed

    match reason:
        case UsageError():
            return ExitCode.USAGE
        case Refused() | PeerRefused():
            return ExitCode.REFUSED
        case DialError() | NotReached():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.FAILED


def _widen() -> None:
    """Take the environment's word for the width of the terminal only where something fits in there."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal() and int(said) < LEAST_COLUMNS:
        del os.environ["COLUMNS"]
        if int(said) > 0:  # else it is not known
            os.environ["COLUMNS"] = str(LEAST_COLUMNS)


def _open_standard_descriptors() -> None:
    """Take the places of standard streams that were closed from the start: libuv aborts when it has to close one."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free is this one
