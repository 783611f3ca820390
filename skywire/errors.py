"""Every error that Skywire raises on purpose, below the network layer.

The tree::

    SkywireError
    ├ InvalidKey             text or bytes that are no public key, secret key or signature (also a ValueError)
    ├ InvalidAddress         text that is no address (also a ValueError)
    ├ KeyFileError           a key file that is missing, unsafe, damaged or locked
    ├ ProtocolError          a peer's bytes break a rule of the wire format
    │ └ AuthenticationError  a peer's bytes fail a cryptographic check
    ├ LocalProtocolError     our own caller breaks a rule of the wire format
    └ NetworkError           see :mod:`skywire.net.errors`

Pure code (:mod:`skywire.wire`) raises nothing else on a peer's bytes than :class:`ProtocolError` and its subclasses.
"""


class SkywireError(Exception):
    """Root of all errors of this package; its text is one line that can be shown to a user."""


class InvalidKey(SkywireError, ValueError):
    """Text or bytes are not a valid public key, secret key or signature. Never quotes secret input."""


class InvalidAddress(SkywireError, ValueError):
    """Text is not an address of a known network."""


class KeyFileError(SkywireError):
    """A key file cannot be used or written; the text says what to do."""


class ProtocolError(SkywireError):
    """Bytes received from a peer break a rule of the wire format. Fatal for whatever was being read."""


class AuthenticationError(ProtocolError):
    """Bytes received from a peer fail a cryptographic check. Deliberately says no more than which check."""


class LocalProtocolError(SkywireError):
    """The local caller asked for something that the wire format forbids; nothing was sent."""


class NetworkError(SkywireError):
    """A network operation failed; concrete classes are in :mod:`skywire.net.errors`."""
