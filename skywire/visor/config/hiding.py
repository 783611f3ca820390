"""A configuration to be shown: what is secret in it is left out, also where nobody here knows the key."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from skywire.app.catalogue import Catalogue
from skywire.app.options import describe
from skywire.app.record import InstanceConfig
from skywire.visor.config.rows import instances, row_names
from skywire.visor.config.schema import VisorConfig

HIDDEN: Final = "(hidden)"

_SECRET_NAME: Final = re.compile(r"(?i)(^|_)sk$|secret|passw|passcode|passphrase|token|hash_key|block_key|private")
_ACCOUNT: Final = re.compile(r"(?<=://)[^/@\s]*@")


def is_secret_name(name: str) -> bool:
    """Whether what has this name is likely a secret."""
    return bool(_SECRET_NAME.search(name))


def hide(tree: Mapping[str, object], config: VisorConfig, catalogue: Catalogue) -> dict[str, object]:
    """A configuration without its secrets.

    Args:
        tree: as it stands in the file.
        config: what it means.
        catalogue: knows which options of apps are secret.
    """
    made, _ = instances(config, catalogue, trust=False)
    names = row_names(config.launcher.apps)
    shown = {name: _hide(name, value, ()) for name, value in tree.items()}
    launcher = shown.get("launcher")
    apps = launcher.get("apps") if isinstance(launcher, dict) else None
    for name, row in zip(names, apps if isinstance(apps, list) else [], strict=False):
        options = row.get("options") if isinstance(row, dict) else None
        if isinstance(options, dict):
            row["options"] = {key: _hide(key, value, _secret_options(made.get(name))) for key, value in options.items()}
    return shown


def _secret_options(instance: InstanceConfig | None) -> Collection[str]:
    if instance is None:
        return ()
    return {each.name for each in describe(instance.app.definition.options) if each.secret}


def _hide(name: str, value: object, secret: Collection[str]) -> object:
    if name in secret or (is_secret_name(name) and value not in (None, "")):
        return HIDDEN
    match value:
        case dict():
            return {key: _hide(key, each, ()) for key, each in value.items()}
        case list() if name == "args":
            return _hide_words([str(each) for each in value])
        case list() if name == "env":
            return [_hide_variable(str(each)) for each in value]
        case list():
            return [_hide("", each, ()) for each in value]
        case str() if name == "args":
            return " ".join(_hide_words(value.split()))
        case str():
            return _ACCOUNT.sub(f"{HIDDEN}@", value)
    return value


def _hide_words(words: list[str]) -> list[str]:
    """A command line, without the values of flags that sound secret."""
    shown: list[str] = []
    hiding = False
    for word in words:
        flag, equals, _ = word.partition("=")
        is_flag = word.startswith("-")
        is_secret = is_flag and is_secret_name(flag.lstrip("-").replace("-", "_"))
        if hiding and not is_flag:
            shown.append(HIDDEN)
        else:
            shown.append(f"{flag}={HIDDEN}" if is_secret and equals else word)
        hiding = is_secret and not equals
    return shown


def _hide_variable(text: str) -> str:
    name, equals, _ = text.partition("=")
    return f"{name}={HIDDEN}" if equals and is_secret_name(name) else text
