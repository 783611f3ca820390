"""JSON objects with their lines: what is read, what is refused, and what a change leaves alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skywire.json_document import MAX_DEPTH, Document, DocumentError
from skywire.key_path import KeyPath, parse_path, show_path

TEXT = """\
{
\t"name": "a \\"quoted\\" {[ name",
\t"section": {
\t\t"number": 1.50e+400,
\t\t"list": [1, {"deep": true},
\t\t\tnull]
\t},
\t"empty": {}
}
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
OBJECT = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
INDENT: st.SearchStrategy[int | str | None] = st.sampled_from([None, 0, 1, 4, "\t"])


def test_values_lines_and_sources() -> None:
    document = Document(TEXT)
    assert document.value["name"] == 'a "quoted" {[ name'
    lines = {"name": 2, "section": 3, "section.number": 4, "section.list": 5, "section.list[1].deep": 5}
    for path, line in {**lines, "section.list[2]": 6, "empty": 8}.items():
        assert document.line(parse_path(path)) == line
    assert document.source(("section", "number")) == "1.50e+400"
    assert document.line(("none",)) is None
    assert document.find(("name", "below")) is None
    assert document.source(("section", "list", 7)) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: this is no JSON: Expecting value"),
        ('{"a": 1,\n "b": }', "line 2: this is no JSON: Expecting value"),
        ('{"a": "\n"}', "line 1: this is no JSON: Invalid control character at"),
        ("\n[1]", "line 2: it is no JSON object"),
        ('"{}"', "line 1: it is no JSON object"),
        ('{"a": 1,\n"a": 2}', "line 2: 'a' stands there twice"),
        ('{"a": [{}, {"b": 1,\n"\\u0062": 2}]}', "line 2: 'a[1].b' stands there twice"),
        ('{"a": "NaN",\n"b": [NaN]}', "line 2: NaN is no number of JSON"),
        ('{"a": -Infinity}', "line 1: -Infinity is no number of JSON"),
        ('{"a":\n' + "9" * 4001 + "}", "line 2: a number is beyond measure"),
        ('{"a":\n' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", f"line 2: there are more than {MAX_DEPTH} levels"),
        ('{"a": ' + "[" * 100_000, f"line 1: there are more than {MAX_DEPTH} levels"),
        ('{"a": ' + '{"a": ' * 100_000, f"line 1: there are more than {MAX_DEPTH} levels"),
        ('{"a' + '\\"[' * 50_000, "line 1: this is no JSON: Unterminated string starting at"),
    ],
)
def test_what_is_refused(text: str, error: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Document(text)
    assert str(caught.value) == error


def test_the_deepest_that_is_taken() -> None:
    text = '{"a": ' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"
    assert Document(text).text == text


@given(st.text(alphabet='{}[]":,\\0123456789.eE-+ \n\tuNa', max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_object_or_a_clear_error(text: str) -> None:
    lines = range(1, text.count("\n") + 2)
    try:
        document = Document('{"a":' + text)
    except DocumentError as caught:
        error: DocumentError | None = caught
    else:
        assert document.value == json.loads(document.text)
        return
    assert error is not None
    assert error.line in lines


@given(OBJECT, INDENT, st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_value_has_its_source(value: dict[str, object], indent: int | str | None, ascii_only: bool) -> None:
    document = Document(json.dumps(value, indent=indent, ensure_ascii=ascii_only))
    assert document.value == value

    def compare(inner: object, path: KeyPath) -> None:
        source = document.source(path)
        assert source is not None
        assert json.loads(source) == inner
        line = document.line(path)
        assert not path or line is not None
        for step, each in (
            inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        ):
            compare(each, (*path, step))

    compare(value, ())


def test_a_change_touches_nothing_else() -> None:
    document = Document(TEXT)
    assert document.put(("name",), "b").text == TEXT.replace('"a \\"quoted\\" {[ name"', '"b"')
    added = document.put(("section", "more"), {"x": [1]})
    assert added.text == TEXT.replace("null]\n", 'null],\n\t\t"more": {\n\t\t\t"x": [\n\t\t\t\t1\n\t\t\t]\n\t\t}\n')
    assert added.drop(("section", "more")).text == TEXT
    assert document.put(("empty", "x"), 1).text == TEXT.replace("{}", '{\n\t\t"x": 1\n\t}')
    assert document.put(("empty", "x"), 1).drop(("empty", "x")).text == TEXT
    assert document.put(("section", "list", 3), "four").text == TEXT.replace("null]", 'null,\n\t\t\t"four"]')
    assert document.drop(("section", "list", 0)).text == TEXT.replace("1, {", "{")
    assert document.drop(("empty",)).text == TEXT.replace(',\n\t"empty": {}', "")
    assert document.drop(("none", "below")) is document


def test_a_change_keeps_the_style() -> None:
    assert Document('{"a":1}').put(("b", "c"), [True, "ö"]).text == '{"a":1,"b":{"c":[true,"ö"]}}'
    assert Document('{"a": 1}').put(("b", "c"), [1, 2]).text == '{"a": 1, "b": {"c": [1, 2]}}'
    assert Document("{}").put(("a",), 1).text == '{\n\t"a": 1\n}'
    assert Document('{\r\n  "a": 1\r\n}').put(("b",), [1]).text == '{\r\n  "a": 1,\r\n  "b": [\r\n    1\r\n  ]\r\n}'
    assert Document('{"a": null}').put(("a", 0), 1).text == '{"a": [1]}'
    assert Document('{"a": null}').put(("a", "b"), "\ud800").text == '{"a": {"b": "\\ud800"}}'


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("section", "list", 4), 1),
        (("section", "list", "x"), 1),
        (("section", 0), 1),
        (("name", "x"), 1),
        (("none", 1), 1),
        ((), 1),
        (("name",), float("nan")),
        (("name",), float("inf")),
    ],
)
def test_a_change_that_cannot_be(path: KeyPath, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Document(TEXT).put(path, value)


@given(OBJECT, st.lists(st.tuples(st.text(max_size=5), JSON, st.booleans()), max_size=6), INDENT)
@settings(max_examples=200, deadline=None)
def test_changes_are_those_of_a_dict(
    value: dict[str, object], changes: list[tuple[str, object, bool]], indent: int | str | None
) -> None:
    document, model = Document(json.dumps(value, indent=indent)), dict(value)
    for name, each, is_put in changes:
        document = document.put((name,), each) if is_put else document.drop((name,))
        if is_put:
            model[name] = each
        else:
            model.pop(name, None)
    assert document.value == model
    assert list(document.value) == list(model)


@given(st.lists(st.text(min_size=1, max_size=8) | st.integers(0, 99_999), min_size=1, max_size=4))
@settings(max_examples=200)
def test_paths_are_read_as_they_are_shown(steps: list[str | int]) -> None:
    path = ("first", *steps)
    assert parse_path(show_path(path)) == path


def test_paths() -> None:
    assert show_path(("launcher", "apps", 2, "args")) == "launcher.apps[2].args"
    assert show_path(("a.b", "c")) == '"a.b".c'
    for text in ("", ".a", "a.", "a..b", "a[x]", "a[1", "a.[1]", '"a'):
        with pytest.raises(ValueError, match="is no path of a key"):
            parse_path(text)
