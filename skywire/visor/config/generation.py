"""New configurations, and old ones brought up to date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

from skywire.json_document import Document
from skywire.key_path import KeyPath
from skywire.keys import PubKey, SecKey
from skywire.version import __version__
from skywire.visor.config.kinds import write_duration
from skywire.visor.config.schema import LOCAL_PATH, LOG_LEVEL, SHUTDOWN
from skywire.visor.config.settings import MIN_SESSIONS, default_config

Given = Mapping[KeyPath, object]
"""Values that somebody asks for, by their keys."""


def given(
    *,
    discovery: str | None = None,
    hypervisors: Sequence[PubKey] = (),
    log_level: str | None = None,
    min_sessions: int | None = None,
) -> dict[KeyPath, object]:
    """What is asked for, as JSON by its keys; None and nothing stand for what is not."""
    found: dict[KeyPath, object] = {}
    if discovery is not None:
        found["dmsg", "discovery"] = discovery
    if hypervisors:
        found["hypervisors",] = [str(each) for each in dict.fromkeys(hypervisors)]
    if log_level is not None:
        found["log_level",] = log_level
    if min_sessions is not None:
        found["dmsg", "sessions_count"] = min_sessions
    return found


def new_document(path: Path | None, identity: SecKey) -> Document:
    """A configuration that names no host.

    The sections that upstream fills with its public network where they are absent are there, and empty.

    Args:
        path: where it will be; None where nobody knows.
        identity: the key.
    """
    is_default = path is not None and path.absolute() == default_config().absolute()
    members: dict[str, object] = {
        "version": __version__,
        "sk": identity.expose_hex(),
        "pk": str(identity.public),
        "dmsg": {"discovery": "", "sessions_count": MIN_SESSIONS, "servers": []},
        "transport": {"discovery": "", "address_resolver": "", "public_autoconnect": False},
        "routing": {"route_finder": ""},
        "uptime_tracker": None,
        "launcher": {"service_discovery": "", "apps": [{"name": "skychat", "auto_start": True}]},
        "survey_whitelist": [],
        "hypervisors": [],
        "log_level": LOG_LEVEL,
        "local_path": str(user_data_path("skywire")) if is_default else LOCAL_PATH,
        "shutdown_timeout": write_duration(SHUTDOWN),
        "is_public": False,
    }
    return Document(json.dumps(members, indent="\t", ensure_ascii=False) + "\n")


def updated(document: Document, path: Path, identity: SecKey) -> Document:
    """A configuration of this version: what is missing is filled in, all that is there stays as it is.

    Args:
        document: of any version.
        path: where it is.
        identity: the key, where it has none.
    """
    fresh = new_document(path, identity)
    if document.find(("sk",)) is not None:
        fresh = fresh.drop(("sk",)).drop(("pk",))
    return _filled(document, fresh.value, ()).put(_VERSION, __version__)


def with_given(document: Document, values: Given) -> Document:
    """With what somebody asks for."""
    for path, value in values.items():
        is_list = isinstance(getattr(document.find(path[:1]), "value", None), list) and len(path) > 1
        document = document.put((path[0], 0, *path[1:]) if is_list else path, value)
    return document


_VERSION: Final[KeyPath] = ("version",)


def _filled(document: Document, members: Mapping[str, object], path: KeyPath) -> Document:
    for name, value in members.items():
        there = document.find((*path, name))
        if there is None:
            document = document.put((*path, name), value)
        elif isinstance(value, dict) and isinstance(there.value, dict):
            document = _filled(document, value, (*path, name))
    return document
