"""Options are read strictly, and every error names the value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skywire.app.options import OptionError, decode, describe, encode, option, read_texts
from skywire.keys import PubKey
from skywire.net.address import Address, HostPort

KEY = PubKey.from_hex("02dc7806760f94f273229dc0565769f7faff39b8e22e7cd44cf05a6ebcfce454be")
LISTEN = HostPort("127.0.0.1", 8001)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True)
class Page:
    title: str = "home"
    port: int = 80


@dataclass(frozen=True)
class Options:
    name: str = "me"
    count: int = option(3, help="How many.")
    rate: float = 0.5
    on: bool = False
    colour: Colour = Colour.RED
    peers: tuple[PubKey, ...] = ()
    exit: Address | None = None
    listen: HostPort = LISTEN
    folder: Path = Path("/srv")
    page: Page = Page()
    pages: tuple[Page, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    password: str = option("", help="For the page.", secret=True)


FULL = {
    "name": "you",
    "count": 4,
    "rate": 2,
    "on": True,
    "colour": "green",
    "peers": [KEY.hex()],
    "exit": f"dmsg://{KEY}:3",
    "listen": "[::1]:80",
    "folder": "/tmp/x",
    "page": {"title": "away"},
    "pages": [{"port": 1}, {}],
    "limits": {"a": 1},
    "password": "hunter2",
}


def test_every_type_there_and_back() -> None:
    options = decode(Options, FULL)
    assert options == Options(
        name="you",
        count=4,
        rate=2.0,
        on=True,
        colour=Colour.GREEN,
        peers=(KEY,),
        exit=Address("dmsg", KEY, 3),
        listen=HostPort("::1", 80),
        folder=Path("/tmp/x"),
        page=Page("away"),
        pages=(Page(port=1), Page()),
        limits={"a": 1},
        password="hunter2",
    )
    assert decode(Options, json.loads(json.dumps(encode(options, secrets=True)))) == options
    assert "password" not in encode(options)
    assert encode(Options()) == {}
    assert decode(Options, {}) == Options()
    assert decode(Options, {"exit": None}) == Options()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "options: an object is expected, this is a list"),
        ("x", "options: an object is expected, this is the text 'x'"),
        ({"nmae": "x"}, "options.nmae: there is no such option; did you mean name\\? there are: colour, count"),
        ({"name": 5}, "options.name: a text is expected, this is the number 5"),
        ({"name": None}, "options.name: a text is expected, this is null"),
        ({"count": "5"}, "options.count: a whole number is expected, this is the text '5'"),
        ({"count": 5.0}, "options.count: a whole number is expected, this is the number 5.0"),
        ({"count": True}, "options.count: a whole number is expected, this is true"),
        ({"rate": "fast"}, "options.rate: a number is expected, this is the text 'fast'"),
        ({"rate": True}, "options.rate: a number is expected, this is true"),
        ({"on": 1}, "options.on: true or false is expected, this is the number 1"),
        ({"colour": "blue"}, "options.colour: 'blue' is not a valid Colour; it is one of red, green"),
        ({"colour": []}, "options.colour: a Colour is expected, this is a list"),
        ({"peers": KEY.hex()}, "options.peers: a list is expected, this is the text"),
        ({"peers": [KEY.hex(), "x"]}, r"options.peers\[1\]: "),
        ({"exit": "dmsg://x"}, "options.exit: an address is"),
        ({"exit": 3}, "options.exit: a text is expected, this is the number 3"),
        ({"listen": "nowhere"}, "options.listen: a local address is"),
        (
            {"page": {"prot": 1}},
            "options.page.prot: there is no such option; did you mean port\\? there are: port",
        ),
        ({"page": 1}, "options.page: an object is expected, this is the number 1"),
        ({"pages": [{}, {"port": "x"}]}, r"options.pages\[1\].port: a whole number is expected"),
        ({"limits": {"a": "x"}}, "options.limits.a: a whole number is expected"),
        ({"limits": []}, "options.limits: an object is expected, this is a list"),
    ],
)
def test_what_does_not_fit_is_named(values: object, reason: str) -> None:
    with pytest.raises(OptionError, match=f"^{reason}"):
        decode(Options, values)


def test_what_the_class_itself_refuses_is_named() -> None:
    @dataclass(frozen=True)
    class Even:
        number: int = 2

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError(f"{self.number} is odd")

    with pytest.raises(OptionError, match=r"^apps\.even: 3 is odd"):
        decode(Even, {"number": 3}, "apps.even")


def test_options_describe_themselves() -> None:
    described = {each.name: each for each in describe(Options)}
    assert list(described) == list(FULL)
    assert (described["count"].default, described["count"].help, described["count"].secret) == (3, "How many.", False)
    assert described["password"].secret
    assert described["limits"].default == {}
    assert described["exit"].kind == Address | None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(FULL)), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other processes may have the processor
@given(st.dictionaries(st.sampled_from(list(FULL)), JSON))
def test_any_json_is_read_or_refused(values: dict[str, object]) -> None:
    try:
        options = decode(Options, values)
    except OptionError:
        return
    assert decode(Options, encode(options, secrets=True)) == options


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "5", "5"),
        ("count", "5", 5),
        ("rate", "2", 2.0),
        ("on", "YES", True),
        ("on", "off", False),
        ("colour", "green", "green"),
    ],
)
def test_values_are_read_as_people_write_them(name: str, text: str, value: object) -> None:
    read = read_texts(Options, {name: text})
    assert read == {name: value}
    assert type(read[name]) is type(value)


@dataclass(frozen=True)
class Lists:
    keys: tuple[PubKey, ...] = ()
    page: Page = Page()
    where: HostPort | None = None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("keys", f"{KEY}, {KEY}", [str(KEY), str(KEY)]),
        ("keys", f'["{KEY}"]', [str(KEY)]),
        ("keys", "", []),
        ("page", '{"title": "x"}', {"title": "x", "port": 80}),
        ("where", "127.0.0.1:8001", "127.0.0.1:8001"),
        ("where", "none", None),
    ],
)
def test_lists_and_objects_are_read_too(name: str, text: str, value: object) -> None:
    assert read_texts(Lists, {name: text}) == {name: value}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("keys", "02ab", r"options.keys: .*66"),
        ("page", "home", "options.page: a Page is expected, written as JSON"),
        ("where", "here", "options.where: "),
        ("were", "x", "options.were: there is no such option; did you mean where\\? there are: keys, page, where"),
    ],
)
def test_what_people_write_wrongly_is_named(name: str, text: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        read_texts(Lists, {name: text})


def test_a_secret_that_does_not_fit_is_not_shown() -> None:
    @dataclass(frozen=True)
    class Secretive:
        pin: int = option(0, secret=True)
        pin_count: int = option(0)

    for read in (decode, read_texts):
        with pytest.raises(OptionError, match=r"^options\.pin: it does not fit, and is not shown, being secret$"):
            read(Secretive, {"pin": "hunter2"})
        with pytest.raises(OptionError, match=r"^options\.pin_count: .* this is the text 'two'$"):
            read(Secretive, {"pin_count": "two"})
    assert "1234" not in repr(Secretive(pin=1234))
