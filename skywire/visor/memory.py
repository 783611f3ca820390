"""How much memory this process occupies."""

from __future__ import annotations

import resource
from pathlib import Path


def resident_bytes() -> int:
    """Bytes of physical memory now; where the system does not tell, the most there ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()
