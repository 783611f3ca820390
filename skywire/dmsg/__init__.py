"""The dmsg network: streams by public key through relays that cannot read them.

:class:`DmsgNetwork` is the client. The relay is in :mod:`skywire.dmsg.relay`; the discovery, its clients and its
service are in :mod:`skywire.dmsg.discovery`.
"""

from skywire.dmsg.errors import DmsgRefused, DmsgUnreachable, SessionOver
from skywire.dmsg.limits import Limits
from skywire.dmsg.network import DMSG, DmsgNetwork

__all__ = ["DMSG", "DmsgNetwork", "DmsgRefused", "DmsgUnreachable", "Limits", "SessionOver"]
