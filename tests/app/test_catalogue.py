"""Finding definitions: ours and those of other packages, loaded when they are used."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from skywire.app.catalogue import ENTRY_POINTS, Catalogue, NoSuchApp
from skywire.app.loaded import DefinitionError

BUILT_IN = {"hello": "tests.app.test_definition:HELLO"}


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=ENTRY_POINTS)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_definitions_are_found_by_name() -> None:
    catalogue = Catalogue(BUILT_IN, [entry("hello-again", "tests.app.test_definition:HELLO")])
    assert catalogue.get("hello").name == "hello"
    assert catalogue.get("hello") is catalogue.get("hello")
    assert [(each.name, each.built_in) for each in catalogue.offers] == [("hello", True), ("hello-again", False)]
    with pytest.raises(NoSuchApp, match="there is no app 'hullo'; did you mean hello\\? there are: hello, hello-again"):
        catalogue.get("hullo")
    with pytest.raises(DefinitionError, match="offers hello under the name hello-again"):
        catalogue.get("hello-again")


def test_nothing_is_imported_before_it_is_used(packages: Path) -> None:
    (packages / "lazy_app.py").write_text("raise RuntimeError('imported')")
    catalogue = Catalogue({}, [entry("lazy", "lazy_app:APP")])
    assert [each.name for each in catalogue.offers] == ["lazy"]
    with pytest.raises(DefinitionError, match="app lazy of lazy_app:APP cannot be loaded: RuntimeError: imported"):
        catalogue.get("lazy")
    assert "lazy_app" not in sys.modules


def test_what_is_installed_meanwhile_is_found(packages: Path) -> None:
    catalogue = Catalogue(BUILT_IN)
    with pytest.raises(NoSuchApp):
        catalogue.get("late")
    facts = packages / "late-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nlate = late_app:APP\nlater = late_app:LATER\n")
    lines = ("from dataclasses import replace", "from tests.app.test_definition import HELLO", "")
    (packages / "late_app.py").write_text("\n".join(lines) + "APP = replace(HELLO, name='late')\n")
    assert catalogue.get("late").name == "late"
    assert "later" in [each.name for each in catalogue.offers]


def test_nobody_takes_a_name_of_ours_or_of_another() -> None:
    catalogue = Catalogue(
        BUILT_IN,
        [entry("hello", "evil:APP"), entry("Bad Name", "odd:APP"), entry("fine", "one:APP"), entry("fine", "two:APP")],
    )
    assert catalogue.get("hello").summary == "Greets whoever connects."
    assert catalogue.refused == {
        "evil:APP": "the name hello is taken by skywire",
        "odd:APP": "a name is up to 64 small letters, digits and single hyphens, this is 'Bad Name'",
        "two:APP": "the name fine is taken by one:APP",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("", "AttributeError.*APP"),
        ("APP = 5", "AttributeError.*'name'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def", "SyntaxError"),
    ],
)
def test_what_cannot_be_loaded_is_an_error_with_its_name(
    packages: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    (packages / "broken_app.py").write_text(text)
    monkeypatch.delitem(sys.modules, "broken_app", raising=False)
    with pytest.raises(DefinitionError, match=f"app broken of broken_app:APP cannot be loaded: .*{reason}"):
        Catalogue({}, [entry("broken", "broken_app:APP")]).get("broken")
    sys.modules.pop("broken_app", None)
