"""How the programs fail."""

from __future__ import annotations

import pytest
from cyclopts import App

from skywire import Address, DialTimeout, PeerRefused, ProtocolError, SecKey, Unreachable
from skywire.cli.program import UsageError, new_program, run

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


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="a defect"):
        run(program(RuntimeError("a defect")), [])
