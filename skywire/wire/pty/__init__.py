"""What pty hosts and their clients say to each other.

Source: protocol-dmsg.md section 7.3, upstream-2026.md section 2.6; ``session`` is ours.
"""
