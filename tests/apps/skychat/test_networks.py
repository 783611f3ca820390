"""Chats over dmsg and over key-encrypted TCP."""

from __future__ import annotations

from pathlib import Path

import pytest

from skywire import Address, embedded
from skywire.app.options import OptionError, decode
from skywire.app.run_mode import RunMode
from skywire.app.trial import trial
from skywire.apps.skychat import CHAT, SKYCHAT, SkychatOptions
from skywire.wire.skychat import Acked, Written
from tests.apps.skychat.site import dmsg_chat, tcp_chat
from tests.apps.skychat.town import ALICE, BOB, PATIENCE, Talk, delivered, seen, until
from tests.dmsg.relaying import SWIFT

pytestmark = pytest.mark.anyio


async def test_a_visor_app_and_one_on_dmsg_alone_talk(tmp_path: Path) -> None:
    async with (
        embedded.start(limits=SWIFT) as network,
        dmsg_chat(network, tmp_path, ALICE, RunMode.VISOR_APP) as alice,
    ):
        early = await alice.send(BOB.public, "are you there?")
        async with dmsg_chat(network, tmp_path, BOB, RunMode.DMSG_STANDALONE, allow=[ALICE.public]) as bob:
            (came,) = await seen(bob, 1)
            assert (came.id, came.text) == (early.id, "are you there?")
            assert (await bob.send(ALICE.public, "yes", reply_to=early.id, wait=PATIENCE)).acked
            await delivered(alice)
            assert [each.text for each in await alice.history()] == ["are you there?", "yes"]
            (contact,) = await bob.contacts()
            assert contact.network == "dmsg"
            assert (await bob.status()).listening == (f"dmsg://{BOB.public}:1",)


async def test_on_tcp_connections_are_kept_with_the_peers_that_are_named(tmp_path: Path) -> None:
    async with tcp_chat(tmp_path, BOB, allow=[ALICE.public]) as (bob, where):
        async with tcp_chat(tmp_path, ALICE, peers=[where]) as (alice, _):

            async def connected() -> bool:
                return (await bob.status()).connected == 1

            await until(connected)
            assert (await bob.send(ALICE.public, "by your connection", wait=PATIENCE)).acked
            assert (await alice.send(BOB.public, "both ways", wait=PATIENCE)).acked
            assert len(bob.exchange.links) == 1
        sent = await bob.send(ALICE.public, "later")

        async def in_trouble() -> bool:
            return "its address to stand in the option peers" in (await bob.contacts())[0].trouble

        await until(in_trouble)
        async with tcp_chat(tmp_path, ALICE, peers=[where]) as (alice, _):
            await delivered(bob)
            assert (await alice.history())[-1].id == sent.id


async def test_on_tcp_a_peer_that_does_not_allow_us_is_told_so(tmp_path: Path) -> None:
    async with tcp_chat(tmp_path, BOB) as (_, where), tcp_chat(tmp_path, ALICE, peers=[where]) as (alice, _):

        async def in_trouble() -> bool:
            return "does the peer allow this key" in (await alice.contacts())[0].trouble

        await until(in_trouble)


async def test_on_tcp_both_keep_a_connection_and_one_is_left(tmp_path: Path) -> None:
    async with tcp_chat(tmp_path, BOB, allow=[ALICE.public]) as (_, at):
        pass
    async with tcp_chat(tmp_path, ALICE, peers=[at]) as (alice, where):
        await alice.send(BOB.public, "hello")
        async with tcp_chat(tmp_path, BOB, listen=at.port, peers=[where]) as (bob, _):
            await delivered(alice)
            assert (await bob.send(ALICE.public, "hello", wait=PATIENCE)).acked

            async def one() -> bool:
                return len(alice.exchange.links) == len(bob.exchange.links) == 1

            await until(one)


@pytest.mark.parametrize("mode", RunMode)
async def test_the_app_answers_its_commands_in_every_mode(mode: RunMode) -> None:
    async with trial(SKYCHAT, SkychatOptions(allow=(BOB.public,)), mode=mode) as app:
        async with app.dial(CHAT.tcp or 0 if mode is RunMode.TCP_STANDALONE else CHAT, peer=BOB.public) as conn:
            talk = Talk(conn)
            await talk.say(Written("0" * 16, "hello"))
            assert await talk.hear() == [Acked("0" * 16)]
        history = await app.call("history", {"peer": str(BOB.public)})
        assert isinstance(history, dict)
        (message,) = history["messages"]
        assert (message["text"], message["direction"], message["delivery"]) == ("hello", "in", "delivered")
        await app.call("alias", {"peer": str(BOB.public), "alias": "Bob"})
        await app.call("read", {"peer": str(BOB.public), "number": 1})
        sent = await app.call("send", {"peer": str(BOB.public), "text": "hello"})
        assert isinstance(sent, dict)
        await app.call("delete", {"peer": str(BOB.public), "id": sent["id"]})
        contacts = await app.call("contacts")
        assert isinstance(contacts, dict)
        assert [(each["alias"], each["unread"]) for each in contacts["contacts"]] == [("Bob", 0)]
        info = await app.call("info")
        assert isinstance(info, dict)
        assert (info["mode"], info["stored"], info["public"]) == (mode.value, 2, str(app.public))
        assert app.info.status.trouble is None


def test_options_that_cannot_be() -> None:
    for wrong in ({"per_peer": 0}, {"days": -1}, {"total_bytes": 0}, {"per_minute": 0}):
        with pytest.raises(OptionError, match="at least 1"):
            decode(SkychatOptions, wrong)
    with pytest.raises(ValueError, match="peers are tcp://"):
        SkychatOptions(peers=(Address("dmsg", BOB.public, 1),))
