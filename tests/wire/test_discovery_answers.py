"""What a discovery answers."""

from __future__ import annotations

from skywire.wire.discovery import (
    MAX_AVAILABLE_SERVERS,
    Answer,
    Health,
    Reason,
    answer_all_servers,
    answer_available_servers,
    answer_entry,
    answer_health,
    answer_keys,
    entries_from_json,
    refusal,
)
from tests.wire.memory_discovery import ALICE, BOB, NOW, client_entry, server_entry


def test_an_entry() -> None:
    entry = client_entry()
    assert answer_entry(entry) == Answer(200, entry.to_json())
    assert answer_entry(None) == refusal(Reason.KEY_NOT_FOUND)


def test_health() -> None:
    health = Health(NOW + 500_000_000, "v1", "abc", '"', f"{ALICE.public}:80", (BOB.public,))
    answer = answer_health(health)
    assert answer.body == (
        b'{"build_info":{"version":"v1","commit":"abc","date":"\\""},"started_at":"2027-01-15T08:00:00.5Z",'
        + f'"dmsg_address":"{ALICE.public}:80","dmsg_servers":["{BOB.public}"]}}'.encode()
    )
    assert b'"2027-01-15T08:00:00Z"' in answer_health(Health(NOW)).body


def test_lists_of_keys() -> None:
    assert answer_keys([]) == Answer(200, b"[]")
    assert answer_keys([ALICE.public, BOB.public]).body == f'["{ALICE.public}","{BOB.public}"]'.encode()


def test_available_servers_are_those_that_want_sessions_the_emptiest_first() -> None:
    sessions = [3, 0, 7, -1, 3, 9]
    servers = [server_entry(sequence, sessions=count) for sequence, count in enumerate(sessions)]
    answer = answer_available_servers([*servers, client_entry()])
    assert [entry.sequence for entry in entries_from_json(answer.body)] == [5, 2, 0, 4]
    assert answer_available_servers(servers[1:2]) == refusal(Reason.NO_SERVERS)


def test_available_servers_are_limited_before_they_are_sorted() -> None:
    few, many = server_entry(sessions=1), server_entry(sessions=2)
    answer = answer_available_servers([few] * MAX_AVAILABLE_SERVERS + [many])
    assert entries_from_json(answer.body) == [few] * MAX_AVAILABLE_SERVERS


def test_all_servers_are_listed_as_they_come() -> None:
    servers = [server_entry(1, sessions=0), server_entry(2)]
    assert entries_from_json(answer_all_servers([servers[0], client_entry(), servers[1]]).body) == servers
    assert answer_all_servers([client_entry()]) == refusal(Reason.NO_SERVERS)
