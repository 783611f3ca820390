"""The errors of dmsg against the vectors."""

from __future__ import annotations

from skywire.wire.dmsg_errors import DmsgError, ErrorCode
from tests.vectors_io import load


def test_every_error_of_upstream() -> None:
    recorded = {case.number("code"): case.text("text") for case in load("gob_stream.json").many("dmsg_errors")}
    assert {code.value: code.text for code in ErrorCode} == recorded
    assert {code for code in ErrorCode if code.temporary} == {ErrorCode.NO_LISTENER, ErrorCode.ACCEPT_QUEUE_FULL}
    error = DmsgError(ErrorCode.NO_LISTENER, "port 80")
    assert str(error) == "dmsg error 306 - request has no associated listener: port 80"
    assert error.code == 306
    assert str(DmsgError(ErrorCode.REJECTED)) == ErrorCode.REJECTED.text
