"""Upstream's command lines of apps, as options."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final, get_args

from skywire.app.options import describe

_PLACES: Final[Mapping[tuple[str, ...], str]] = {
    ("skysocks", "serve"): "skysocks",
    ("vpn", "serve"): "vpn-server",
}
"""Apps whose place on upstream's command line is not their name in parts."""
_TRUTHS: Final = frozenset({"true", "false"})


@final
@dataclass(frozen=True, slots=True)
class MappedArgs:
    """What a command line says.

    Args:
        texts: values by the name of the option.
        unknown: flags that mean nothing, and how many words do that stand alone.
        left: the words that mean nothing, as they stood there.
        missing: a flag at the end that needs a value; empty when there is none.
    """

    texts: Mapping[str, str]
    unknown: tuple[str, ...]
    left: tuple[str, ...]
    missing: str


def split_args(args: Sequence[str] | str) -> list[str]:
    """The words of a command line.

    Raises:
        ValueError: a quotation has no end.
    """
    return shlex.split(args) if isinstance(args, str) else list(args)


def join_args(words: Sequence[str], like: Sequence[str] | str) -> str | list[str]:
    """Words in the form that a command line has."""
    return shlex.join(words) if isinstance(like, str) else list(words)


def head_of(words: Sequence[str], names: Sequence[str]) -> tuple[str, int]:
    """The app that a command line begins with, and how many words that takes; empty and 0 where it begins with none.

    Args:
        words: of the command line, such as ``app skysocks-client --addr :1080``.
        names: by which the app may be called where ``app`` is not in front.
    """
    if words[:1] != ["app"]:
        return (words[0], 1) if words and words[0] in names else ("", 0)
    end = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    place = tuple(words[1:end])
    return _PLACES.get(place, "-".join(place)), end


def map_args(kind: type[object], words: Sequence[str]) -> MappedArgs:
    """Flags as options.

    Args:
        kind: the options class.
        words: behind the name of the app: ``--flag value``, ``--flag=value``, the same with one hyphen, and flags alone
            that are on or off.
    """
    options = {each.name: each.kind for each in describe(kind)}
    texts: dict[str, str] = {}
    unknown: list[str] = []
    left: list[str] = []
    at, missing = 0, ""
    while at < len(words):
        flag, equals, text = words[at].partition("=")
        name = flag.lstrip("-").replace("-", "_")
        following = words[at + 1] if at + 1 < len(words) else None
        takes = 1
        if not flag.startswith("-") or not name:
            unknown.append("a word that belongs to no flag")
        elif name not in options:
            unknown.append(flag)
            takes = 1 if equals or following is None or following.startswith("-") else 2
        elif equals:
            texts[name] = text
        elif _is_switch(options[name]):
            takes = 2 if following in _TRUTHS else 1
            texts[name] = following if following is not None and takes > 1 else "true"
        elif following is None:
            missing = flag
        else:
            texts[name], takes = following, 2
        if unknown and name not in options:
            left += words[at : at + takes]
        at += takes
    return MappedArgs(texts, tuple(dict.fromkeys(unknown)), tuple(left), missing)


def _is_switch(kind: object) -> bool:
    return kind is bool or bool in get_args(kind)
