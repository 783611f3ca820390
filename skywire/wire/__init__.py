"""The wire formats of the Go network, pure: bytes in, events or bytes out; no I/O, clock, randomness or logging."""
