"""The messages of JSON-RPC 2.0 as both sides write them.

A stream is answered by notifications, each with the id of the call: ``item`` with an item, then ``end``; a failure is
an ordinary error response. The caller ends a call or stream early with ``cancel``.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Final, final


@final
@unique
class Code(IntEnum):
    """What kind of failure it is; the first two are JSON-RPC's own."""

    NO_SUCH_METHOD = -32601
    WRONG_ARGUMENTS = -32602
    DEFECT = -32603
    REFUSED = -32000
    """The node says no, or cannot; the text says why."""
    FORBIDDEN = -32001
    """The caller has not got the role."""
    BUSY = -32002
    """Too many calls at a time."""


LONGEST_TEXT: Final = 4096
"""Characters of the text of a failure."""


def request(call: int, method: str, arguments: dict[str, object]) -> dict[str, object]:
    """A call."""
    return {"jsonrpc": "2.0", "id": call, "method": method, "params": arguments}


def cancel(call: int) -> dict[str, object]:
    """End a call early."""
    return {"jsonrpc": "2.0", "id": call, "method": "cancel"}


def reply(call: int | str, result: object) -> dict[str, object]:
    """The result of a call."""
    return {"jsonrpc": "2.0", "id": call, "result": result}


def failure(call: int | str, code: Code, text: str, kind: str = "") -> dict[str, object]:
    """A call has failed.

    Args:
        call: its id.
        code: in what way.
        text: why, for people; cut where it is long, as callers may have written most of it.
        kind: the name of the error's class, where it is one of ours.
    """
    data = {"data": {"kind": kind}} if kind else {}
    return {"jsonrpc": "2.0", "id": call, "error": {"code": int(code), "message": text[:LONGEST_TEXT], **data}}


def stream_item(call: int | str, item: object) -> dict[str, object]:
    """An item of a stream."""
    return {"jsonrpc": "2.0", "method": "item", "params": {"id": call, "item": item}}


def stream_end(call: int | str) -> dict[str, object]:
    """The end of a stream, or of a call that was cancelled."""
    return {"jsonrpc": "2.0", "method": "end", "params": {"id": call}}
