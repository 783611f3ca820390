"""Apps controlled from outside: every call of the interface, through a connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked
from anyio.abc import TaskStatus

from skywire.app.api import AppsAPI, EventsAPI
from skywire.app.catalogue import Catalogue
from skywire.app.connections import Direction
from skywire.app.host import AppHost
from skywire.app.interface import Role
from skywire.app.limits import LauncherLimits, RestartPolicy
from skywire.app.loaded import broken
from skywire.app.logs import WAITING_LINES, AppLogs
from skywire.app.ownership import on_behalf_of
from skywire.app.record import InstanceConfig
from skywire.app.status import State
from skywire.control.apps import Apps, Events, Rows
from skywire.control.client import RemoteError, connected
from skywire.control.messages import Code
from skywire.control.server import Endpoint
from skywire.errors import SkywireError
from skywire.keys import SecKey
from skywire.net.address import Address
from skywire.net.conn import CORE
from skywire.net.memory import MEMORY, conn_pair
from tests.app.site import QUICK, Site, definition, instance, site

pytestmark = pytest.mark.anyio

KEY = SecKey.generate().public
BUILT_IN = {
    "hello": "tests.app.test_definition:HELLO",
    "broken": "tests.app.nothing:HERE",
    "adder": "tests.app.adder:ADDER",
}


class FullDisk(SkywireError):
    """For a test."""


@dataclass
class Book(Rows):
    """Notes what is written down."""

    rows: dict[str, InstanceConfig] = field(default_factory=dict)
    full: bool = False

    async def put(self, config: InstanceConfig) -> None:
        if self.full:
            raise FullDisk("no space is left")
        self.rows[config.name] = config

    async def drop(self, name: str) -> None:
        if self.full:
            raise FullDisk("no space is left")
        self.rows.pop(name, None)


@dataclass
class Remote:
    apps: AppsAPI
    events: EventsAPI
    here: Site
    book: Book


@asynccontextmanager
async def controlled(
    tmp_path: Path, *configs: InstanceConfig, role: Role = Role.ADMIN, limits: LauncherLimits = LauncherLimits()
) -> AsyncIterator[Remote]:
    logs = AppLogs(tmp_path / "log")
    logging.getLogger().addHandler(logs)
    book = Book({config.name: config for config in configs})
    try:
        async with site(tmp_path, *configs, limits=limits) as here:
            endpoint = Endpoint()
            apps = Apps(here.launcher, Catalogue(BUILT_IN, []), logs, here.surroundings.connections, book)
            endpoint.offer("apps", AppsAPI, apps)
            endpoint.offer("events", EventsAPI, Events(here.events))
            near, far = conn_pair(Address(MEMORY, KEY, 1), CORE, Address(MEMORY, KEY, 2), CORE)
            async with create_task_group() as task_group:
                task_group.start_soon(endpoint.serve, far, role, "a test")
                async with connected(near) as client:
                    yield Remote(client.of(AppsAPI, "apps"), client.of(EventsAPI, "events"), here, book)
    finally:
        logging.getLogger().removeHandler(logs)
        logs.close()


async def test_instances_are_made_changed_and_removed_and_written_down(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        apps = remote.apps
        info = await apps.add(
            "hello", "hello-one", {"greeting": "Hi"}, {"greeting": 4100}, restart=RestartPolicy.ALWAYS
        )
        assert (info.name, info.definition, info.state, info.restart) == (
            "hello-one",
            "hello",
            State.RUNNING,
            RestartPolicy.ALWAYS,
        )
        assert await apps.get("hello-one") == info
        assert [each.name for each in await apps.list()] == ["hello-one"]
        assert await apps.options("hello-one") == {"greeting": "Hi"}
        assert list(remote.book.rows) == ["hello-one"]
        async with remote.here.registry.self_dial(4100, owner=CORE) as conn:
            assert (await conn.receive()).startswith(b"Hi, ")
        await apps.configure("hello-one", {"greeting": "Hey"})
        assert await apps.options("hello-one") == {"greeting": "Hey"}
        assert remote.book.rows["hello-one"] == remote.here.launcher.config("hello-one")
        assert (await apps.stop("hello-one")).state == "stopped"
        assert (await apps.start("hello-one")).state == "running"
        assert (await apps.restart("hello-one")).state == "running"
        await apps.remove("hello-one")
        assert await apps.list() == ()
        assert not remote.book.rows


async def test_definitions_are_listed_with_what_is_wrong_with_them(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        hello, lost, _ = await remote.apps.definitions()
        assert (hello.name, hello.source, hello.trouble, len(hello.modes)) == ("hello", "skywire", "", 3)
        assert lost.trouble.startswith("app broken of skywire cannot be loaded: ModuleNotFoundError")


async def test_what_cannot_be_done_changes_nothing(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        apps = remote.apps
        await apps.add("hello", "hello")
        for call, reason in [
            (apps.add("hello", "hello"), "choose another name"),
            (apps.add("hello", "Hello"), "a name is up to"),
            (apps.add("hello", "two"), "port 4000 of visor-app is taken by hello"),
            (apps.add("hullo", "two"), "there is no app 'hullo'"),
            (apps.add("broken", "two"), "cannot be loaded"),
            (apps.add("hello", "two", {"greting": "x"}), "options.greting: there is no such option"),
            (apps.add("hello", "two", texts={"greting": "x"}), "options.greting: there is no such option"),
            (apps.add("hello", "two", {}, {"greting": 4200}), r"hello has no port 'greting'; did you mean greeting\?"),
            (apps.add("hello", "two", {}, {"greeting": 0}), "port greeting: 1 to 65535 is expected, this is 0"),
            (apps.configure("hello", {"greeting": 5}), "options.greeting: a text is expected"),
            (apps.configure("hullo", {}), "there is no app instance 'hullo'"),
            (apps.get("hullo"), r"there is no app instance 'hullo'; did you mean hello\? there are: hello"),
            (apps.log("hullo"), "there is no app instance"),
            (apps.connections("hullo"), "there is no app instance"),
        ]:
            with pytest.raises(RemoteError, match=reason) as refused:
                await call
            assert refused.value.code == Code.REFUSED
        remote.book.full = True
        with pytest.raises(RemoteError, match="no space is left"):
            await apps.configure("hello", {"greeting": "Hi"})
        with pytest.raises(RemoteError, match="no space is left"):
            await apps.add("hello", "two", {}, {"greeting": 4200})
        with pytest.raises(RemoteError, match="no space is left"):
            await apps.remove("hello")
        assert await apps.options("hello") == {}
        assert [each.name for each in await apps.list()] == ["hello"]


async def test_options_are_given_as_people_write_them_and_taken_back(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        apps = remote.apps
        await apps.add("adder", "adder")
        await apps.configure("adder", texts={"start-at": "5", "loud": "on"})
        assert await apps.options("adder") == {"start_at": 5, "loud": True}
        await apps.configure("adder", unset=("loud",))
        assert await apps.options("adder") == {"start_at": 5}
        described = {each.name: each for each in await apps.describe("adder")}
        assert (described["start_at"].kind, described["start_at"].default, described["start_at"].value) == (
            "whole number",
            0,
            5,
        )
        assert (described["loud"].is_set, described["start_at"].is_set) == (False, True)
        assert (described["token"].secret, described["token"].value) == (True, None)
        for texts, unset, reason in [
            ({"start-at": "five"}, (), "options.start_at: a whole number is expected, this is the text 'five'"),
            ({"loud": "loud"}, (), "options.loud: on or off is expected"),
            (
                {"lowd": "on"},
                (),
                r"options.lowd: there is no such option; did you mean loud\? there are: loud, start_at, token",
            ),
            ({}, ("lowd",), "options.lowd: there is no such option"),
        ]:
            with pytest.raises(RemoteError, match=reason):
                await apps.configure("adder", texts=texts, unset=unset)


async def test_an_instance_is_made_with_options_as_people_write_them(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        apps = remote.apps
        known = {each.name: each.options for each in await apps.definitions()}
        assert [(each.name, each.value, each.is_set, each.secret) for each in known["adder"]] == [
            ("start_at", 0, False, False),
            ("loud", False, False, False),
            ("token", None, False, True),
        ]
        info = await apps.add("adder", "adder", {"start_at": 1}, texts={"start-at": "5", "loud": "on"})
        assert (info.state, [change.state for change in info.history]) == (
            "running",
            ["stopped", "starting", "running"],
        )
        assert await apps.options("adder") == {"start_at": 5, "loud": True}


async def test_variables_are_told_to_who_may_change_them(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        await remote.apps.add("hello", "hello")
        assert await remote.apps.environment("hello") == {}
        await remote.apps.arrange("hello", environment={"TOKEN": "hush"})
        assert await remote.apps.environment("hello") == {"TOKEN": "hush"}
    async with controlled(tmp_path, instance(definition("hello")), role=Role.READ) as remote:
        with pytest.raises(RemoteError, match="needs the role admin"):
            await remote.apps.environment("hello")


async def test_how_an_instance_is_run_can_change_while_it_runs(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        before = await remote.apps.add("hello", "hello")
        info = await remote.apps.arrange("hello", auto_start=False, restart=RestartPolicy.NEVER)
        assert (info.auto_start, info.restart, info.state, info.since) == (
            False,
            RestartPolicy.NEVER,
            State.RUNNING,
            before.since,
        )
        assert remote.book.rows["hello"].auto_start is False
        await remote.apps.arrange("hello", environment={"LANG": "C"})
        assert remote.book.rows["hello"].environment == {"LANG": "C"}
        assert (await remote.apps.get("hello")).state is State.RUNNING


async def test_what_cannot_be_loaded_is_listed_with_the_reason(tmp_path: Path) -> None:
    lost = InstanceConfig(name="vpn", app=broken("vpn-client", "there is no app 'vpn-client' here"))
    async with controlled(tmp_path, lost, instance(definition("hello"))) as remote:
        await remote.here.until("hello", "running")
        info = await remote.apps.get("vpn")
        assert (info.state, info.reason) == (State.ERRORED, "there is no app 'vpn-client' here")
        with pytest.raises(RemoteError, match="vpn cannot run: there is no app 'vpn-client' here"):
            await remote.apps.start("vpn")
        with pytest.raises(RemoteError, match="there is no app 'vpn-client' here"):
            await remote.apps.configure("vpn")
        assert await remote.apps.describe("vpn") == ()
        await remote.apps.remove("vpn")
        assert [each.name for each in await remote.apps.list()] == ["hello"]


async def test_apps_answer_commands_of_their_own(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        apps = remote.apps
        await apps.add("adder", "adder", {"start_at": 5})
        assert await apps.app_call("adder", "add", {"numbers": [1, 2]}) == {"sum": 8}
        items = apps.app_stream("adder", "count", {"to": 3})
        assert [each async for each in items] == [0, 1, 2]
        endless = apps.app_stream("adder", "count", {"to": 1_000_000_000})
        assert isinstance(endless, AsyncGenerator)
        async with aclosing(endless):
            assert [await anext(endless) for _ in range(2)] == [0, 1]
        wrong: list[tuple[str, Mapping[str, object], str]] = [
            ("subtract", {}, "there is no command 'subtract' that is answered now; there are: add"),
            ("add", {"numbers": ["one"]}, r"add.numbers\[0\]: a whole number is expected"),
            ("add", {"number": 1}, "add.number: there is no such option"),
            ("add", {"numbers": [-1]}, "only upward"),
        ]
        for command, arguments, reason in wrong:
            with pytest.raises(RemoteError, match=reason) as refused:
                await apps.app_call("adder", command, arguments)
            assert refused.value.code in {Code.REFUSED, Code.WRONG_ARGUMENTS}
        await apps.stop("adder")
        with pytest.raises(RemoteError, match="adder is stopped, and answers only while it runs"):
            await apps.app_call("adder", "add", {"numbers": []})


async def test_the_gate_is_on_this_way_too(tmp_path: Path) -> None:
    pty = instance(definition("pty", critical=True), restart=RestartPolicy.ALWAYS)
    async with controlled(tmp_path, pty) as remote:
        await remote.here.until("pty", "running")
        for call in (
            remote.apps.stop("pty"),
            remote.apps.stop("pty", back_in=60.0),
            remote.apps.restart("pty"),
            remote.apps.remove("pty"),
            remote.apps.configure("pty", {}),
            remote.apps.arrange("pty", auto_start=False),
            remote.apps.arrange("pty", restart=RestartPolicy.NEVER),
            remote.apps.arrange("pty", environment={"LANG": "C"}),
        ):
            with pytest.raises(RemoteError, match="would take away pty") as refused:
                await call
            assert refused.value.kind == "CriticalRefusal"
        assert remote.here.states() == {"pty": "running"}
        assert remote.book.rows["pty"] is pty
        assert (await remote.apps.stop("pty", knowing=True)).state == "stopped"


async def test_who_may_only_look_changes_nothing(tmp_path: Path) -> None:
    async with controlled(tmp_path, instance(definition("hello")), role=Role.READ) as remote:
        await remote.here.until("hello", "running")
        assert [each.name for each in await remote.apps.list()] == ["hello"]
        for call in (remote.apps.start("hello"), remote.apps.stop("hello"), remote.apps.restart("hello")):
            with pytest.raises(RemoteError, match="needs the role control, you have read"):
                await call


async def test_who_controls_apps_does_not_set_what_they_open_to_whom(tmp_path: Path) -> None:
    async with controlled(tmp_path, instance(definition("hello")), role=Role.CONTROL) as remote:
        await remote.here.until("hello", "running")
        assert (await remote.apps.restart("hello")).state is State.RUNNING
        for call in (
            remote.apps.arrange("hello", environment={"PYTHONPATH": "/tmp"}),
            remote.apps.environment("hello"),
            remote.apps.configure("hello", {"folder": "/"}),
            remote.apps.add("hello", "another"),
            remote.apps.remove("hello"),
        ):
            with pytest.raises(RemoteError, match="needs the role admin, you have control"):
                await call


async def test_of_a_log_that_is_longer_than_a_message_the_newest_is_read(tmp_path: Path) -> None:
    async with controlled(tmp_path, instance(definition("hello"))) as remote:
        await remote.here.until("hello", "running")
        with on_behalf_of("hello"):
            for number in range(1200):
                logging.getLogger("skywire.app.hello").warning("%s %s", number, "\N{SNOWMAN}" * 1000)
        lines = await remote.apps.log("hello")
        assert 100 < len(lines) < 1200
        assert lines[-1].text.split()[1] == "1199"
        assert len(await remote.apps.log("hello", last=7)) == 7


async def test_connections_are_seen_while_they_last(tmp_path: Path) -> None:
    async with controlled(tmp_path) as remote:
        await remote.apps.add("hello", "hello")
        async with remote.here.registry.self_dial(4000, owner=CORE) as conn:
            assert await conn.receive()
            everything = await remote.apps.connections()
            assert {each.owner for each in everything} <= {"hello", "core"}
            assert ("core", Direction.OUT) in {(each.owner, each.direction) for each in everything}
        assert await remote.apps.connections() == ()


async def test_logs_are_read_and_followed(tmp_path: Path) -> None:
    async with controlled(tmp_path, instance(definition("hello"))) as remote:
        log = logging.getLogger("skywire.app.hello")
        with on_behalf_of("hello"):
            log.warning("first")
        assert [line.text for line in await remote.apps.log("hello")] == ["skywire.app.hello: first"]
        followed = remote.apps.follow_log("hello", logging.ERROR)
        assert isinstance(followed, AsyncGenerator)

        async def write() -> None:
            await wait_all_tasks_blocked()
            with on_behalf_of("hello"):
                log.warning("second")
                log.error("third")

        async with aclosing(followed), create_task_group() as task_group:
            task_group.start_soon(write)
            with fail_after(5):
                assert (await anext(followed)).text == "skywire.app.hello: third"
        assert len(await remote.apps.log("hello", last=2)) == 2


async def test_who_follows_a_log_is_told_what_came_too_fast(tmp_path: Path) -> None:
    async with controlled(tmp_path, instance(definition("hello"))) as remote:
        followed = remote.apps.follow_log("hello", logging.ERROR)
        assert isinstance(followed, AsyncGenerator)

        async def write() -> None:
            await wait_all_tasks_blocked()
            with on_behalf_of("hello"):
                for number in range(WAITING_LINES + 2):
                    logging.getLogger("skywire.app.hello").error("%d", number)

        async with aclosing(followed), create_task_group() as task_group:
            task_group.start_soon(write)
            with fail_after(5):
                assert (await anext(followed)).text == "2 lines before this one came too fast"
                assert (await anext(followed)).text == "skywire.app.hello: 2"


async def test_events_come_as_one_stream(tmp_path: Path) -> None:
    async with controlled(tmp_path, instance(definition("hello"), auto_start=False)) as remote:
        events = remote.events.events("app.")
        assert isinstance(events, AsyncGenerator)

        async def start() -> None:
            await wait_all_tasks_blocked()
            await remote.apps.start("hello")

        async with aclosing(events), create_task_group() as task_group:
            task_group.start_soon(start)
            with fail_after(5):
                seen = [await anext(events) for _ in range(2)]
        assert [(each.kind, each.subject, each.facts["state"]) for each in seen] == [
            ("app.state", "hello", "starting"),
            ("app.state", "hello", "running"),
        ]


async def test_who_leaves_while_an_instance_is_removed_leaves_no_half_of_it(tmp_path: Path) -> None:
    ending = Event()
    go_on = Event()

    async def slow(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            await sleep_forever()
        finally:
            with CancelScope(shield=True):
                ending.set()
                await go_on.wait()

    async with controlled(tmp_path, instance(definition("slow", slow))) as remote, create_task_group() as task_group:
        await remote.here.until("slow", "running")
        task_group.start_soon(remote.apps.remove, "slow")
        with fail_after(20):
            await ending.wait()
        task_group.cancel_scope.cancel()
        with CancelScope(shield=True):
            await wait_all_tasks_blocked()
        go_on.set()
    # Whether it was in time or not: it is written down if it is there, and only then.
    assert list(remote.book.rows) == [info.name for info in remote.here.launcher.list()]


async def test_what_cannot_be_removed_stays_written_down(tmp_path: Path) -> None:
    go_on = Event()

    async def stubborn(host: AppHost, task_status: TaskStatus[None]) -> None:
        task_status.started()
        with CancelScope(shield=True):
            await go_on.wait()

    config = instance(definition("stubborn", stubborn))
    async with controlled(tmp_path, config, limits=QUICK) as remote:
        await remote.here.until("stubborn", "running")
        try:
            with pytest.raises(RemoteError, match="is stuck and cannot be removed"):
                await remote.apps.remove("stubborn")
            assert remote.book.rows == {"stubborn": config}
        finally:
            go_on.set()
