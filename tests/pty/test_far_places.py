"""How people name a file on a host, and one of their own."""

from __future__ import annotations

import pytest

from skywire.apps.pty.peers import FarPlace, far_place

KEY = "02466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (f"{KEY}:", FarPlace(KEY, "")),
        (f"{KEY}:a/b:c", FarPlace(KEY, "a/b:c")),
        (f"{KEY}:/etc/hosts", FarPlace(KEY, "/etc/hosts")),
        (f"{KEY}:22", FarPlace(KEY, "22")),
        (f"{KEY}@192.0.2.7:a", FarPlace(f"{KEY}@192.0.2.7", "a")),
        (f"{KEY}@[2001:db8::1]:a", FarPlace(f"{KEY}@[2001:db8::1]", "a")),
        (f"tcp://{KEY}@192.0.2.7:2022/a", FarPlace(f"tcp://{KEY}@192.0.2.7:2022", "a")),
        (f"dmsg://{KEY}:22//etc/hosts", FarPlace(f"dmsg://{KEY}:22", "/etc/hosts")),
        (f"dmsg://{KEY}", FarPlace(f"dmsg://{KEY}", "")),
        ("file", None),
        ("a:b", None),
        (f"./{KEY}:a", None),
        (KEY, None),
        (f"{KEY}/a:b", None),
        ("", None),
    ],
)
def test_a_place_on_a_host_is_a_key_and_a_path(words: str, place: FarPlace | None) -> None:
    assert far_place(words) == place
