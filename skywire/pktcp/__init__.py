"""Key-encrypted TCP, the network without relays."""

from skywire.pktcp.acceptor import AcceptStats
from skywire.pktcp.limits import Limits
from skywire.pktcp.network import PkTcpNetwork

__all__ = ["AcceptStats", "Limits", "PkTcpNetwork"]
