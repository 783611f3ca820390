"""Entries of the dmsg discovery: who is reached through which servers, signed by the key they are about.

A signature covers the entry's *canonical* JSON without the signature: a fixed order of keys, no white space, one way to
escape. Whoever checks it parses the JSON and writes it again, so the bytes that travelled do not matter.

Keys that this version does not know (those of 2026 began with ``protocol``, ``address_v6``, ``address_ws``, and are
still being added to) are kept, with their place, and written again there. A verifier of 2024 drops them instead, so
:meth:`Entry.authenticated` accepts a signature of either form, and hands out only what that signature covers.

Source: protocol-dmsg.md section 6.1, 6.2 and 5.2; upstream-2026.md section 3.2 row 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self, final

from skywire.errors import InvalidKey, LocalProtocolError
from skywire.keys import PUB_KEY_SIZE, PubKey, SecKey, Signature
from skywire.wire.gojson import JsonError, Members, Number, check_text, compact_json, json_string, read_json

VERSION: Final = "0.0.1"
"""The only version of entries there is."""
MAX_ENTRY_SIZE: Final = 1 << 16
"""Most bytes of one entry's JSON: a client that uses all of 512 listed servers needs 36 KB."""
MAX_EXTRAS: Final = 64
"""Most unknown keys in one object, enough for decades of additions; they cost time when they are written again."""
MAX_SEQUENCE: Final = 2**64 - 1
"""Largest sequence number."""

_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1
_NO_KEY: Final = "0" * (2 * PUB_KEY_SIZE)
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")


class EntryError(JsonError):
    """JSON from a peer is no entry."""


@final
@dataclass(frozen=True, slots=True)
class Extra:
    """A member of a JSON object whose key this version does not know.

    Args:
        after: the known key that it follows in the canonical order; empty for none.
        key: its key, as written.
        value: its value, as compact JSON text.

    Raises:
        LocalProtocolError: text holds a lone surrogate.
    """

    after: str
    key: str
    value: str

    def __post_init__(self) -> None:
        check_text(self.key)
        check_text(self.value)


@final
@dataclass(frozen=True, slots=True)
class ClientPart:
    """What makes an entry a client's.

    Args:
        delegated_servers: the servers it can be reached through. None is JSON's ``null``, which signs differently from
            none at all; Go clients write an array.
        extras: unknown keys, in canonical order.
    """

    delegated_servers: tuple[PubKey, ...] | None = ()
    extras: tuple[Extra, ...] = ()

    def _fields(self) -> tuple[tuple[str, str], ...]:
        keys = self.delegated_servers
        text = "null" if keys is None else "[" + ",".join([f'"{key.raw.hex()}"' for key in keys]) + "]"
        return (("delegated_servers", text),)


@final
@dataclass(frozen=True, slots=True)
class ServerPart:
    """What makes an entry a server's.

    Args:
        address: where it accepts connections, host:port.
        available_sessions: int64, how many more sessions it wants; may be negative.
        server_type: ``official`` or ``community`` once stored; a server submits nothing, or the discovery's passphrase.
        extras: unknown keys, in canonical order.

    Raises:
        LocalProtocolError: a number is out of range, or text holds a lone surrogate.
    """

    address: str
    available_sessions: int
    server_type: str = ""
    extras: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        _check_range("availableSessions", self.available_sessions, _MIN_INT64, _MAX_INT64)
        check_text(self.address)
        check_text(self.server_type)

    def _fields(self) -> tuple[tuple[str, str], ...]:
        return (
            ("address", json_string(self.address)),
            ("availableSessions", str(self.available_sessions)),
            ("serverType", json_string(self.server_type) if self.server_type else ""),
        )


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One key's entry in the discovery.

    Args:
        static: the key it is about; None is the null key, which is never valid.
        sequence: uint64, grows with each update.
        timestamp: int64, Unix time in nanoseconds.
        client: present when the key is a client's.
        client_type: free text; the discovery lists those that say ``visor``.
        server: present when the key is a server's.
        signature: 130 hexadecimal characters in a valid entry, but any text can be stored here; empty for none.
        version: text.
        extras: unknown keys, in canonical order.

    Raises:
        LocalProtocolError: a number is out of range, or text holds a lone surrogate.
    """

    static: PubKey | None
    sequence: int = 0
    timestamp: int = 0
    client: ClientPart | None = None
    client_type: str = ""
    server: ServerPart | None = None
    signature: str = ""
    version: str = VERSION
    extras: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        _check_range("sequence", self.sequence, 0, MAX_SEQUENCE)
        _check_range("timestamp", self.timestamp, _MIN_INT64, _MAX_INT64)
        check_text(self.client_type)
        check_text(self.signature)
        check_text(self.version)

    @classmethod
    def from_json(cls, body: bytes) -> Entry:
        """Read an entry as tolerantly as upstream does.

        Keys match in either case, the last of several counts, ``null`` leaves a number or a key as it is, unknown keys
        are kept in :attr:`extras`, and bytes after the JSON value are ignored; the body ``null`` is an empty entry.
        Stricter than upstream: no invalid UTF-8 or lone surrogates, no raw control characters, no null key among the
        delegated servers, and the limits of this module.

        Args:
            body: at most 65536 bytes.

        Raises:
            JsonError: anything else; an EntryError when it is JSON, of a size and depth that are allowed, but no entry.
        """
        return entry_of(read_json(body, MAX_ENTRY_SIZE)[0])

    def to_json(self) -> bytes:
        """The canonical JSON, as it is stored and sent."""
        return _object(self._fields(self.signature), self.extras).encode()

    def signed_bytes(self) -> bytes:
        """What a signature covers: the canonical JSON without it."""
        return _object(self._fields(""), self.extras).encode()

    def sign(self, sec_key: SecKey) -> Entry:
        """This entry with a signature by the key it is about.

        Raises:
            LocalProtocolError: it is about another key.
        """
        if sec_key.public != self.static:
            raise LocalProtocolError(f"an entry of {self.static} cannot be signed by {sec_key.public}")
        return replace(self, signature=sec_key.sign(self.signed_bytes()).hex())

    def authenticated(self) -> Entry | None:
        """What the signature covers: all of this entry, or all but its unknown keys, or (None) neither."""
        if _is_signed(self):
            return self
        known = self._without_extras()
        return known if known is not self and _is_signed(known) else None

    def verify_signature(self) -> bool:
        """Whether the key it is about signed this entry, with or without its unknown keys.

        A server's entry as served by a discovery usually fails, because its type was rewritten after the check
        (protocol-dmsg.md section 6.5): that makes it unverified, not wrong.
        """
        return self.authenticated() is not None

    def delegates_to(self, servers: Iterable[PubKey]) -> bool:
        """Whether these are the delegated servers already, in any order, so that an update would change nothing."""
        return self.client is not None and set(self.client.delegated_servers or ()) == set(servers)

    def _without_extras(self) -> Self:
        client = replace(self.client, extras=()) if self.client is not None and self.client.extras else self.client
        server = replace(self.server, extras=()) if self.server is not None and self.server.extras else self.server
        if client is self.client and server is self.server and not self.extras:
            return self
        return replace(self, client=client, server=server, extras=())

    def _fields(self, signature: str) -> tuple[tuple[str, str], ...]:
        client, server = self.client, self.server
        return (
            ("version", json_string(self.version)),
            ("sequence", str(self.sequence)),
            ("timestamp", str(self.timestamp)),
            ("static", f'"{_NO_KEY if self.static is None else self.static.raw.hex()}"'),
            ("client", "" if client is None else _object(client._fields(), client.extras)),
            ("client_type", json_string(self.client_type) if self.client_type else ""),
            ("server", "" if server is None else _object(server._fields(), server.extras)),
            ("signature", json_string(signature) if signature else ""),
        )


def _is_signed(entry: Entry) -> bool:
    if entry.static is None:
        return False
    try:
        signature = Signature.from_hex(entry.signature)
    except InvalidKey:
        return False
    return entry.static.verify(signature, entry.signed_bytes())


def client_update(
    stored: Entry | None, *, static: PubKey, servers: Iterable[PubKey], client_type: str, now_ns: int
) -> Entry:
    """The entry, unsigned, that a client posts next.

    A server part of the same key stays. Unknown keys outside of it do not: they announce what somebody else's program
    can do.

    Args:
        stored: the entry that the discovery has of this key, or None.
        static: the client's key.
        servers: the servers it has sessions with.
        client_type: free text.
        now_ns: Unix time in nanoseconds.

    Raises:
        LocalProtocolError: the stored sequence number cannot grow.

    Source: protocol-dmsg.md section 5.2.
    """
    base = _successor(stored, static)
    client = ClientPart(tuple(servers))
    return replace(base, timestamp=max(now_ns, base.timestamp), client=client, client_type=client_type)


def server_update(stored: Entry | None, *, static: PubKey, server: ServerPart, now_ns: int) -> Entry:
    """The entry, unsigned, that a server posts next; a client part of the same key stays.

    Args:
        stored: the entry that the discovery has of this key, or None.
        static: the server's key.
        server: its address, free sessions, and the passphrase of the discovery if it has one.
        now_ns: Unix time in nanoseconds.

    Raises:
        LocalProtocolError: the stored sequence number cannot grow.

    Source: protocol-dmsg.md section 5.1.
    """
    base = _successor(stored, static)
    return replace(base, timestamp=max(now_ns, base.timestamp), server=server)


def _successor(stored: Entry | None, static: PubKey) -> Entry:
    if stored is None:
        return Entry(static)
    return replace(stored, static=static, sequence=stored.sequence + 1, signature="", version=VERSION, extras=())


def _check_range(name: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise LocalProtocolError(f"{name} is from {low} to {high}")


def _object(fields: tuple[tuple[str, str], ...], extras: tuple[Extra, ...]) -> str:
    """A JSON object of those fields that have a text."""
    if not extras:
        return "{" + ",".join([f'"{name}":{text}' for name, text in fields if text]) + "}"
    members: list[str] = []
    for name, text in (("", ""), *fields):
        if text:
            members.append(f'"{name}":{text}')
        members += [f"{json_string(extra.key)}:{extra.value}" for extra in extras if extra.after == name]
    return "{" + ",".join(members) + "}"


def entry_of(value: object) -> Entry:
    """Make an entry of what :func:`read_json` read; see :meth:`Entry.from_json`.

    Raises:
        EntryError: it is none.
    """
    version, client_type, signature = "", "", ""
    sequence = timestamp = 0
    static: PubKey | None = None
    client: ClientPart | None = None
    server: ServerPart | None = None
    known, extras = _sort_members(value, _ENTRY_KEYS)
    for name, item in known:
        match name:
            case "version":
                version = _text(name, item)
            case "sequence":
                sequence = _integer(name, item, sequence, signed=False)
            case "timestamp":
                timestamp = _integer(name, item, timestamp)
            case "static":
                static = _key(name, item) or static
            case "client":
                client = None if item is None else _client(item, client)
            case "client_type":
                client_type = _text(name, item)
            case "server":
                server = None if item is None else _server(item, server)
            case _:
                signature = _text(name, item)
    try:
        entry = Entry(static, sequence, timestamp, client, client_type, server, signature, version)
    except LocalProtocolError as error:
        raise EntryError(str(error)) from None
    return replace(entry, extras=_placed(extras, entry._fields(signature))) if extras else entry


def _client(value: object, before: ClientPart | None) -> ClientPart:
    """Read a client part over an earlier one of the same entry."""
    part = before or ClientPart(None)
    known, extras = _sort_members(value, _CLIENT_KEYS)
    for name, item in known:
        part = ClientPart(_keys(name, item))
    return replace(part, extras=_placed(extras, part._fields())) if extras else part


def _server(value: object, before: ServerPart | None) -> ServerPart:
    """Read a server part over an earlier one of the same entry."""
    part = before or ServerPart("", 0)
    address, sessions, server_type = part.address, part.available_sessions, part.server_type
    known, extras = _sort_members(value, _SERVER_KEYS)
    for name, item in known:
        match name:
            case "address":
                address = _text(name, item)
            case "availableSessions":
                sessions = _integer(name, item, sessions)
            case _:
                server_type = _text(name, item)
    try:
        part = ServerPart(address, sessions, server_type)
    except LocalProtocolError as error:
        raise EntryError(str(error)) from None
    return replace(part, extras=_placed(extras, part._fields())) if extras else part


_ENTRY_KEYS: Final = {name: name for name, _ in Entry(None)._fields("")}
_CLIENT_KEYS: Final = {name: name for name, _ in ClientPart()._fields()}
_SERVER_KEYS: Final = {name.lower(): name for name, _ in ServerPart("", 0)._fields()}


def _sort_members(value: object, names: dict[str, str]) -> tuple[list[tuple[str, object]], list[Extra]]:
    """The members of an object that have one of these names (lower case to canonical), and the others."""
    if value is None:
        return [], []
    if not isinstance(value, Members):
        raise EntryError("an entry and its parts are JSON objects")
    known: list[tuple[str, object]] = []
    extras: list[Extra] = []
    after = ""
    for key, item in value:
        name = names.get(key.lower())
        if name is not None:
            known.append((name, item))
            after = name
        elif len(extras) == MAX_EXTRAS:
            raise EntryError(f"an entry has more than {MAX_EXTRAS} unknown keys")
        else:
            try:
                extras.append(Extra(after, key, compact_json(item)))
            except LocalProtocolError as error:
                raise EntryError(str(error)) from None
    return known, extras


def _placed(extras: list[Extra], fields: tuple[tuple[str, str], ...]) -> tuple[Extra, ...]:
    """Tie each unknown key to a known one that is written, and put them into the order of writing."""
    anchors, order = {"": ""}, {"": 0}
    last = ""
    for name, text in fields:
        if text:
            last = name
            order[name] = len(order)
        anchors[name] = last
    placed = [replace(extra, after=anchors[extra.after]) for extra in extras]
    return tuple(sorted(placed, key=lambda extra: order[extra.after]))


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise EntryError(f"{name} is text")
    return value


def _integer(name: str, value: object, before: int, *, signed: bool = True) -> int:
    if value is None:
        return before
    if not isinstance(value, Number) or not _INTEGER.fullmatch(value.text) or not (signed or value.text[0] != "-"):
        raise EntryError(f"{name} is an integer" if signed else f"{name} is a natural number")
    return int(value.text)


def _key(name: str, value: object) -> PubKey | None:
    try:
        return PubKey.from_optional_hex(_text(name, value))
    except InvalidKey as error:
        raise EntryError(f"{name}: {error}") from None


def _keys(name: str, value: object) -> tuple[PubKey, ...] | None:
    if value is None:
        return None
    if isinstance(value, Members) or not isinstance(value, list):
        raise EntryError(f"{name} is a JSON array")
    keys: list[PubKey] = []
    for item in value:
        key = _key(name, item)
        if key is None:
            raise EntryError(f"{name} holds the null key")
        keys.append(key)
    return tuple(keys)
