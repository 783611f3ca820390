"""Programs at far terminals: a host that runs them, and a client that uses them over connections that may break.

The host is :class:`skywire.pty.host.PtyHost`, whose sessions are :mod:`skywire.pty.sessions`; what the two ends say is
:mod:`skywire.wire.pty`. Who may connect, and where connections come from, is the matter of whoever uses it.
"""
