"""Calls of Go's net/rpc over any byte stream: a client, and a server.

Their bytes are those of :mod:`skywire.wire.gob.rpc`; what can be called are :class:`skywire.wire.gob.method.Method` s.
"""

from skywire.netrpc.calling import Caller, calling
from skywire.netrpc.errors import CallFailed, ConnectionEnded
from skywire.netrpc.serving import Service, serve_calls

__all__ = ["CallFailed", "Caller", "ConnectionEnded", "Service", "calling", "serve_calls"]
