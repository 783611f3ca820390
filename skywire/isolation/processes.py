"""Apps of this process that run in others: what stands for them here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, final
from weakref import WeakSet

from skywire.app.api import Attachment
from skywire.app.catalogue import Catalogue
from skywire.app.definition import Isolation
from skywire.app.host import AppHost, Surroundings
from skywire.app.instance import AppInstance
from skywire.app.loaded import Configured
from skywire.app.options import encode
from skywire.app.record import InstanceConfig
from skywire.control.local import runtime_folder
from skywire.isolation.attached import TOKEN_SECONDS, AttachedInstance
from skywire.isolation.child import ChildInstance, ChildLimits
from skywire.isolation.interfaces import PROTOCOL_VERSION, Assignment
from skywire.isolation.session import Session, describe_facilities
from skywire.net.local_socket import LocalSocket

TOKEN_NAME: Final = "attach-token"  # noqa: S105 - the name of a file
SOCKET_SUFFIX: Final = ".attach"
"""Unlike that of the sockets by which processes are controlled, in the same folder."""


@final
class Processes:
    """Gives the launcher what stands for an app of another process.

    Args:
        surroundings: those of the launcher.
        catalogue: where the definitions are, which another process has to load as well.
        folder: of the sockets to which processes attach; that of the user's sockets unless given.
        limits: for the end of children.
        token_seconds: for a process that attaches to show its token.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        catalogue: Catalogue,
        *,
        folder: Path | None = None,
        limits: ChildLimits = ChildLimits(),
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        self._surroundings = surroundings
        self._catalogue = catalogue
        self._folder = folder
        self._limits = limits
        self._token_seconds = token_seconds
        self._sessions: WeakSet[Session] = WeakSet()
        surroundings.facilities.watch(self._facilities_changed)

    def isolate(self, config: InstanceConfig) -> Configured:
        """The same app, whose instances run as the configuration says: as a child, or in a process that attaches."""

        def create(host: AppHost) -> AppInstance:
            def assign() -> Assignment:
                return self._assignment(config, host)

            def session(link: LocalSocket) -> Session:
                return self._session(config, host, link)

            if config.isolation is Isolation.ATTACHED:
                where = self.attachment(config.name)
                return AttachedInstance(host, where, assign, session, self._token_seconds)
            return ChildInstance(host, assign, session, config.environment, self._limits)

        return replace(config.app, create=create)

    def attachment(self, name: str) -> Attachment:
        """Where a process attaches that runs the instance of this name."""
        folder = runtime_folder() if self._folder is None else self._folder
        return Attachment(name, folder / f"{name}{SOCKET_SUFFIX}", self._surroundings.data / name / TOKEN_NAME)

    def _session(self, config: InstanceConfig, host: AppHost, link: LocalSocket) -> Session:
        session = Session(host, self._surroundings, config.app.definition.commands, link)
        self._sessions.add(session)
        return session

    def _assignment(self, config: InstanceConfig, host: AppHost) -> Assignment:
        definition = config.app.definition
        return Assignment(
            version=PROTOCOL_VERSION,
            name=config.name,
            definition=definition.name,
            place=self._catalogue.place(definition.name),
            mode=host.mode,
            public=host.public,
            options=encode(config.app.options, secrets=True),
            ports=dict(config.ports),
            networks=tuple(sorted(self._surroundings.networks)),
            facilities=describe_facilities(self._surroundings.facilities),
            data=host.data_dir.parent.absolute(),
            log_level=host.log.getEffectiveLevel(),
        )

    def _facilities_changed(self) -> None:
        for session in list(self._sessions):
            session.facilities_changed()
