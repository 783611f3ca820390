"""Names of files, whatever a peer calls them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.transfer.names import MAX_NAME, numbered, safe_name


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Übersicht 2026 (1).tar.gz", "Übersicht 2026 (1).tar.gz"),
        ("写真.jpg", "写真.jpg"),
        ("", "file"),
        ("...", "file"),
        (".bashrc", "bashrc"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\boot.ini", "C__boot.ini"),
        ("a\0b\n\x1b[2J", "a_b__[2J"),
        ("exe.\u202egpj", "exe._gpj"),
        ("\ud800.txt", "_.txt"),
        ("name. . ", "name"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1 .txt", "_com1 .txt"),
        ("console.txt", "console.txt"),
        ("x.part", "x.part_"),
        ("x.PART.json", "x.PART.json_"),
        ("a" * 300 + ".part", "a" * 194 + ".part_"),
        ("con." + "a" * 300, "_con." + "a" * 195),
        ("con" + " " * 300 + "x", "_con"),
        ("a" * 300 + ".jpeg", "a" * 195 + ".jpeg"),
        ("ä" * 300, "ä" * 100),
        ("a." + "b" * 300, "a." + "b" * 198),
        ("e\u0301.txt", "é.txt"),
    ],
)
def test_names(given: str, safe: str) -> None:
    assert safe_name(given) == safe


@given(st.text(max_size=400))
def test_a_safe_name_is_safe_and_stays(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('/\\\0<>:"|?*')
    assert safe.isprintable()
    assert not safe.startswith((".", " "))
    assert not safe.endswith((".", " "))
    assert len(numbered(safe, 9999).encode()) + len(".part.json") < 255
    assert len(safe.encode()) <= MAX_NAME
    assert safe_name(safe) == safe


def test_numbers() -> None:
    assert numbered("photo.jpg", 0) == "photo.jpg"
    assert numbered("photo.jpg", 2) == "photo (2).jpg"
    assert numbered("README", 1) == "README (1)"
    assert numbered("a." + "b" * 30, 1) == "a." + "b" * 30 + " (1)"
