"""The queue of received records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skywire.net.record_buffer import RecordBuffer

records = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=10)


@given(records, st.lists(st.integers(0, 30)))
def test_nothing_is_lost_or_reordered(content: list[bytes], steps: list[int]) -> None:
    buffer = RecordBuffer()
    buffer.put(content)
    taken = b""
    for step in steps:
        if not buffer.size:
            break
        data = buffer.take_bytes(step) if step else buffer.take_record()
        assert data
        assert not step or len(data) <= step
        taken += data
        assert buffer.size == sum(map(len, content)) - len(taken)
    while buffer.size:
        taken += buffer.take_record()
    assert taken == b"".join(content)


def test_bytes_are_whole_records_where_they_fit() -> None:
    buffer = RecordBuffer()
    buffer.put([b"aa", b"bbb", b"c"])
    assert buffer.take_bytes(4) == b"aa"
    assert buffer.take_bytes(1) == b"b"
    assert buffer.take_record() == b"bb"
    assert buffer.take_bytes(9) == b"c"
