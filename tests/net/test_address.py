"""The text forms of addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire import Address, HostPort, InvalidAddress, SecKey

PK = SecKey(b"\x01" * 32).public

hosts = st.one_of(
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,3}", fullmatch=True),
)
ports = st.integers(1, 65535)
addresses = st.one_of(
    st.builds(Address, st.sampled_from(["dmsg", "skynet", "memory"]), st.just(PK), ports),
    st.builds(Address, st.just("tcp"), st.just(PK), ports, hosts),
)


@given(addresses)
def test_text_round_trips(address: Address) -> None:
    assert Address.parse(str(address)) == address


shuffled_addresses = addresses.map(str).flatmap(lambda text: st.permutations(list(text)).map("".join))


@given(st.one_of(st.text(max_size=200), shuffled_addresses))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except InvalidAddress:
        return
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        f"dmsg://{PK}:80",
        f"skynet://{PK}:1",
        f"memory://{PK}:65535",
        f"tcp://{PK}@127.0.0.1:2022",
        f"tcp://{PK}@[::1]:2022",
        f"tcp://{PK}@[fe80::1%eth0]:2022",
        f"tcp://{PK}@node-1.example.org:2022",
        f"tcp://{PK}@localhost:2022",
    ],
)
def test_good_addresses(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an address is"),
        (str(PK), "an address is"),
        (f"dmsg://{PK}", "an address is"),
        (f"dmsg://{PK}:", "an address is"),
        (f"dmsg://{PK}:80/", "an address is"),
        (f"dmsg://{PK}:0", "a port is 1 to 65535"),
        (f"dmsg://{PK}:65536", "a port is 1 to 65535"),
        (f"dmsg://{PK}@host:80", "names no host"),
        (f"http://{PK}:80", "no network named 'http'"),
        (f"tcp://{PK}:80", "names a host"),
        (f"tcp://{PK}@::1:80", "an address is"),
        (f"tcp://{PK}@[127.0.0.1]:80", "brackets"),
        (f"tcp://{PK}@[12::zz]:80", "no IPv6"),
        (f"tcp://{PK}@-bad-:80", "neither an IP address nor a host name"),
        (f"tcp://{PK}@{'a' * 254}:80", "neither"),
        (f"tcp://{PK}@{'a' * 64}.net:80", "neither"),
        (f"tcp://{PK}@a..b:80", "neither"),
        (f"tcp://{PK}@a.-b:80", "neither"),
        (f"dmsg://{'0' * 66}:80", "the key of address"),
        (f"dmsg://{str(PK)[1:]}:80", "66 hexadecimal"),
        ("dmsg://" + "0" * 1000 + ":80", "an address is"),
    ],
)
def test_bad_addresses_are_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidAddress, match=message):
        Address.parse(text)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:8080", "localhost:65535", "0.0.0.0:2022"])
def test_local_addresses(text: str) -> None:
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", ":80", "host", "host:", "host:x", "host:70000", "host:123456", "::1:80", "[::1]", "[zz::]:1", "a b:1", "h:٣"],
)
def test_bad_local_addresses(text: str) -> None:
    with pytest.raises(InvalidAddress):
        HostPort.parse(text)
