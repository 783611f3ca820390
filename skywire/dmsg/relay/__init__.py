"""The dmsg server: :class:`Relay` takes clients' sessions and joins their streams."""

from skywire.dmsg.relay.relay import MAX_SESSIONS, Relay
from skywire.dmsg.relay.switch import RelayStats

__all__ = ["MAX_SESSIONS", "Relay", "RelayStats"]
