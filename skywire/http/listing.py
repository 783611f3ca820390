"""The page that lists a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import quote

MAX_ENTRIES: Final = 10000
"""Names on one page; of a larger folder any so many are shown."""

_STYLE: Final = (
    "body{font-family:sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.3em .8em;text-align:left}"
    "th:nth-child(2),td:nth-child(2){text-align:right}td:first-child{overflow-wrap:anywhere}"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list.

    Args:
        name: as the system has it, surrogates standing for what is not UTF-8.
        is_folder: whether it is one, and not a file.
        size: in bytes.
        modified: in seconds of Unix time.
    """

    name: str
    is_folder: bool
    size: int
    modified: float


def listing_page(path: str, entries: Iterable[Entry], *, whole: bool) -> str:
    """An HTML page, folders first.

    Args:
        path: from the root of what is served, begins and ends with a slash.
        entries: in any order.
        whole: whether these are all.
    """
    title = f"Files in {_shown(path)}"
    lines = [_line(each) for each in sorted(entries, key=lambda each: (not each.is_folder, each.name))]
    parent = '<p><a href="../">Parent folder</a></p>\n' if path != "/" else ""
    note = "" if whole else f"<p>There are more than {MAX_ENTRIES:,} names here; not all are shown.</p>\n"
    table = (
        "<p>It is empty.</p>\n"
        if not lines
        else '<table>\n<thead><tr><th scope="col">Name</th><th scope="col">Bytes</th>'
        '<th scope="col">Modified (UTC)</th></tr></thead>\n'
        f"<tbody>\n{''.join(lines)}</tbody>\n</table>\n"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{title}</h1>\n{parent}{note}{table}"
        "</main>\n</body>\n</html>\n"
    )


def link_to(name: str) -> str:
    """A relative reference to a name of the same folder; the dot keeps a colon from being taken for a scheme."""
    return f"./{quote(os.fsencode(name))}"


def _line(entry: Entry) -> str:
    slash = "/" if entry.is_folder else ""
    size = "" if entry.is_folder else f"{entry.size:,}"
    try:
        modified = datetime.fromtimestamp(entry.modified, UTC)
        when = f'<time datetime="{modified:%Y-%m-%dT%H:%M:%SZ}">{modified:%Y-%m-%d %H:%M}</time>'
    except (ValueError, OverflowError, OSError):  # beyond the years that have four digits
        when = ""
    return (
        f'<tr><td><a href="{link_to(entry.name)}{slash}">{_shown(entry.name)}{slash}</a></td>'
        f"<td>{size}</td><td>{when}</td></tr>\n"
    )


def _shown(name: str) -> str:
    """A name as text: what would be invisible, or turn the text around, is replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))
