"""Bytes that wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skywire.dmsg.backlog import Backlog

STEPS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40),
        st.integers(min_value=1000, max_value=1100).map(lambda size: bytes([size % 256]) * size),
        st.sampled_from(["take", "take some", "clear"]),
    ),
    max_size=300,
)


@given(STEPS)
def test_bytes_come_out_in_the_order_in_which_they_came(steps: list[bytes | str]) -> None:
    backlog = Backlog()
    expected = b""
    for step in steps:
        if isinstance(step, bytes):
            backlog.append(step)
            expected += step
        elif step == "clear":
            backlog.clear()
            expected = b""
        elif expected:
            piece = bytes(backlog.popleft())
            assert piece
            assert expected.startswith(piece)
            if step == "take some" and len(piece) > 1:
                backlog.appendleft(memoryview(piece)[1:])
                piece = piece[:1]
            expected = expected[len(piece) :]
        assert backlog.size == len(expected)
    rest = b""
    while backlog.size:
        rest += backlog.popleft()
    assert rest == expected


def test_single_bytes_cost_little() -> None:
    backlog = Backlog()
    for _ in range(262_144):
        backlog.append(b"x")
    assert len(backlog._pieces) + len(backlog._small) < 262_144 / 64 + 64
