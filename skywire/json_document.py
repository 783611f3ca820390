"""A JSON object as people write it into a file: its values, the lines they stand in, and changes that leave the rest.

A change replaces the text of what changes and nothing else: order, blanks, the form of numbers and what nobody here
knows stay byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NoReturn, final

from skywire.errors import SkywireError
from skywire.key_path import KeyPath, show_path

MAX_DEPTH: Final = 64
"""Objects and lists in one another; upstream's deepest configuration has 6."""

_MOST_DIGITS: Final = 4000
"""Of a whole number; Python reads 4300 unless told otherwise."""
_NO_CHILDREN: Final[Mapping[str | int, Node]] = MappingProxyType({})
_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[][{}]', re.DOTALL)


class DocumentError(SkywireError):
    """A text is no such JSON object.

    Args:
        reason: what is wrong with it; never quotes a value.
        line: where, from 1 on.
    """

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


@final
@dataclass(frozen=True, slots=True)
class Node:
    """A value in the text.

    Args:
        value: of None, bool, int, float, str, list and dict.
        start: where its member begins, with the name; of an item, where the value begins.
        begin: where the value begins.
        end: behind the value.
        line: that the member begins in, from 1 on.
        children: the values of an object by name, those of a list by index.
    """

    value: object
    start: int
    begin: int
    end: int
    line: int
    children: Mapping[str | int, Node]


@final
class Document:
    """A JSON object with its text.

    Args:
        text: the object, and blanks around it.

    Raises:
        DocumentError: no JSON, no object, a name twice in an object, NaN or Infinity, a number beyond measure, or more
            than MAX_DEPTH levels.
    """

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.root: Final = _Reader(text).read()

    @property
    def value(self) -> Mapping[str, object]:
        """All of it, as plain values."""
        value = self.root.value
        assert isinstance(value, dict)
        return value

    def find(self, path: KeyPath) -> Node | None:
        """The value at a path; None when there is none."""
        node: Node | None = self.root
        for step in path:
            if node is None:
                return None
            node = node.children.get(step)
        return node

    def line(self, path: KeyPath) -> int | None:
        """The line of a member; None when it is not there."""
        node = self.find(path) if path else None
        return None if node is None else node.line

    def source(self, path: KeyPath) -> str | None:
        """The text of a value; None when there is none."""
        node = self.find(path)
        return None if node is None else self.text[node.begin : node.end]

    def put(self, path: KeyPath, value: object) -> Document:
        """With another value, and the objects that lead to it; the index behind the last one appends to a list.

        Raises:
            ValueError: the path leads through something else than an object or a list, or the value is no JSON.
        """
        if not path:
            raise ValueError("all of it cannot be replaced")
        node = self.find(path)
        if node is not None:
            return self._replaced(node.begin, node.end, self._write(value, len(path)))
        parent = self.find(path[:-1])
        name = path[-1]
        if parent is None or parent.value is None:
            if name not in {0, str(name)}:
                raise ValueError(f"{show_path(path[:-1])} has no item before {show_path((name,))}")
            return self.put(path[:-1], {name: value} if isinstance(name, str) else [value])
        if isinstance(parent.value, dict) and isinstance(name, str):
            text = f"{_dump(name)}{self._colon()}{self._write(value, len(path))}"
        elif isinstance(parent.value, list) and name == len(parent.value):
            text = self._write(value, len(path))
        else:
            raise ValueError(f"{show_path(path[:-1]) or 'the top'} has no place for {show_path((name,))}")
        return self._inserted(parent, text, len(path))

    def drop(self, path: KeyPath) -> Document:
        """Without a member or an item; the same when it is not there."""
        node, parent = self.find(path), self.find(path[:-1])
        if node is None or parent is None or not path:
            return self
        nodes = list(parent.children.values())
        at = nodes.index(node)
        if len(nodes) == 1:
            empty = "{}" if isinstance(parent.value, dict) else "[]"
            return self._replaced(parent.begin, parent.end, empty)
        if at + 1 < len(nodes):
            return self._replaced(node.start, nodes[at + 1].start, "")
        return self._replaced(nodes[at - 1].end, node.end, "")

    def _inserted(self, parent: Node, text: str, depth: int) -> Document:
        """With another member or item at the end of what can have some."""
        nodes = list(parent.children.values())
        if nodes:
            before = nodes[-2].end if len(nodes) > 1 else parent.begin + 1
            gap = self.text[before : nodes[-1].start]
            blanks = gap[gap.rfind(",") + 1 :]  # between the last two members, or the first one and the brace
            if len(nodes) == 1 and not blanks:
                blanks = self._gap()
            return self._replaced(nodes[-1].end, nodes[-1].end, f",{blanks}{text}")
        first, last = self.text[parent.begin], self.text[parent.end - 1]
        indent = self._indent()
        if indent is None:
            return self._replaced(parent.begin, parent.end, f"{first}{text}{last}")
        newline, unit = indent
        inside, outside = newline + unit * depth, newline + unit * (depth - 1)
        return self._replaced(parent.begin, parent.end, f"{first}{inside}{text}{outside}{last}")

    def _replaced(self, begin: int, end: int, text: str) -> Document:
        return Document(f"{self.text[:begin]}{text}{self.text[end:]}")

    def _write(self, value: object, depth: int) -> str:
        """A value as it is written in this text, at some depth."""
        indent = self._indent()
        if indent is None:
            return _dump(value, separators=(f",{self._gap()}", self._colon()))
        newline, unit = indent
        return _dump(value, indent=unit).replace("\n", newline + unit * depth)

    def _indent(self) -> tuple[str, str] | None:
        """How a line ends, and what a level begins with; None where all is in one line."""
        nodes = list(self.root.children.values())
        if not nodes:
            return "\n", "\t"
        gap = self.text[self.root.begin + 1 : nodes[0].start]
        if "\n" not in gap:
            return None
        return ("\r\n" if "\r\n" in gap else "\n"), gap.rpartition("\n")[2]

    def _colon(self) -> str:
        """What stands between a name and its value."""
        for node in self.root.children.values():
            return ":" if self.text[node.begin - 1] == ":" else ": "
        return ": "

    def _gap(self) -> str:
        """What stands behind a comma in one line."""
        return " " if self._colon() == ": " else ""


@final
class _Reader:
    """Reads a text; positions count characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line, self._counted = 1, 0
        self._scan = json.JSONDecoder().raw_decode

    def read(self) -> Node:
        """The object.

        Raises:
            DocumentError: it is none.
        """
        self._check_depth()
        self._check()
        begin = self._skip(0)
        if self._text[begin] != "{":
            raise DocumentError("it is no JSON object", self._line_of(begin))
        return self._value(begin, begin, ())

    def _check_depth(self) -> None:
        depth = 0
        for token in _NESTING.finditer(self._text):
            first = token[0][0]
            if first in "[{":
                depth += 1
            elif first != '"':
                depth -= 1
            if depth > MAX_DEPTH:
                raise DocumentError(f"there are more than {MAX_DEPTH} levels", self._line_of(token.start()))

    def _check(self) -> None:
        """Accept JSON; the standard library's reader is the judge of it, so that nothing below can fail."""
        try:
            json.loads(self._text, parse_constant=_refuse_constant, parse_int=_refuse_length)
        except json.JSONDecodeError as error:
            raise DocumentError(f"this is no JSON: {error.msg}", error.lineno) from None
        except ValueError:
            raise self._number_error() from None

    def _number_error(self) -> DocumentError:
        """What is no number here; the text is JSON up to there."""
        for token in re.finditer(r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)|-?[0-9][-+.0-9eE]*', self._text, re.DOTALL):
            text = token[0]
            if text.endswith(("NaN", "Infinity")):
                return DocumentError(f"{text} is no number of JSON", self._line_of(token.start()))
            if text[0] != '"' and len(text) > _MOST_DIGITS and text.lstrip("-").isdigit():
                return DocumentError("a number is beyond measure", self._line_of(token.start()))
        return DocumentError("a number is beyond measure", 1)

    def _value(self, begin: int, start: int, path: KeyPath) -> Node:
        line = self._line_of(start)
        match self._text[begin]:
            case "{":
                return self._object(begin, start, line, path)
            case "[":
                return self._list(begin, start, line, path)
        found: tuple[object, int] = self._scan(self._text, begin)
        return Node(found[0], start, begin, found[1], line, _NO_CHILDREN)

    def _object(self, begin: int, start: int, line: int, path: KeyPath) -> Node:
        children: dict[str | int, Node] = {}
        at = self._skip(begin + 1)
        while self._text[at] != "}":
            name_start = at
            name: tuple[str, int] = self._scan(self._text, at)
            key, behind = name
            if key in children:
                raise DocumentError(f"{show_path((*path, key))!r} stands there twice", self._line_of(name_start))
            node = self._value(self._skip(self._text.index(":", behind) + 1), name_start, (*path, key))
            children[key] = node
            at = self._behind(node)
        return Node({key: node.value for key, node in children.items()}, start, begin, at + 1, line, children)

    def _list(self, begin: int, start: int, line: int, path: KeyPath) -> Node:
        children: dict[str | int, Node] = {}
        at = self._skip(begin + 1)
        while self._text[at] != "]":
            node = self._value(at, at, (*path, len(children)))
            children[len(children)] = node
            at = self._behind(node)
        return Node([node.value for node in children.values()], start, begin, at + 1, line, children)

    def _behind(self, node: Node) -> int:
        """Where the next member or the end of the list or object is."""
        at = self._skip(node.end)
        return self._skip(at + 1) if self._text[at] == "," else at

    def _skip(self, at: int) -> int:
        """Where what is not blank begins."""
        blanks = _BLANKS.match(self._text, at)
        return blanks.end() if blanks else at

    def _line_of(self, at: int) -> int:
        """The line of a position. Mostly asked in their order."""
        if at < self._counted:
            return self._text.count("\n", 0, at) + 1
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._line


def _dump(value: object, *, indent: str | None = None, separators: tuple[str, str] | None = None) -> str:
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which can only be written escaped
        return json.dumps(value, indent=indent, separators=separators, allow_nan=False)
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_length(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("a number is beyond measure")
    return int(text)
