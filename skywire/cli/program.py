"""What the three programs share: how they run, fail and speak.

Results go to the standard output, everything else to the standard error. Exit codes: 0 done, 1 failed, 2 wrong usage,
3 nobody to reach, 4 refused by the peer, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from skywire.errors import SkywireError
from skywire.net.errors import DialError, PeerRefused
from skywire.version import __version__


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


Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative="", help="Write one JSON object.")]
"""The switch of every command that tells facts."""


def new_program(name: str, summary: str) -> App:
    """The root of a program's command line."""
    return App(name=name, help=summary, version=f"{name} {__version__}", version_flags=["--version"])


def run(app: App, arguments: Sequence[str] | None = None) -> None:
    """Run a program to its end, and exit with its code.

    Args:
        app: the root of its command line.
        arguments: without the program's name; those of this process when None.
    """
    try:
        app(arguments)
    except UsageError as error:
        _fail(app, error, ExitCode.USAGE)
    except PeerRefused as error:
        _fail(app, error, ExitCode.REFUSED)
    except DialError as error:
        _fail(app, error, ExitCode.UNREACHABLE)
    except SkywireError as error:
        _fail(app, error, ExitCode.FAILED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough of it; the descriptor must not fail again at exit.
        sys.stdout = None
        sys.exit(ExitCode.FAILED)


def show_json(facts: Mapping[str, object]) -> None:
    """Write one JSON object to the standard output."""
    print(json.dumps(facts, indent=2))


def _fail(app: App, error: SkywireError, code: ExitCode) -> None:
    print(f"{app.name[0]}: {error}", file=sys.stderr)
    sys.exit(code)
