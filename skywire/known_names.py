"""What to say of a name that is not there: those that are, and which of them may have been meant."""

from __future__ import annotations

from collections.abc import Iterable


def near(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The question which of the known names was meant, such as ``did you mean hello?``; empty where none is like it.

    Args:
        name: what was given.
        known: what there is.
        likeness: from 0 to 1, for the same; more where a name may well be right, and only unknown here.
    """
    from difflib import get_close_matches  # only a mistake has to wait for it

    found = get_close_matches(name[:100], list(known), n=3, cutoff=likeness)
    return f"did you mean {' or '.join(found)}?" if found else ""


def listed(name: str, known: Iterable[str]) -> str:
    """The known names, for the end of a sentence that says that ``name`` is none of them."""
    names = sorted(set(known))
    there = f"there are: {', '.join(names) or 'none'}"
    return f"{question} {there}" if (question := near(name, names)) else there
