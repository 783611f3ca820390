"""Control from afar: the same calls as on this machine, over dmsg, for keys that have a role."""

from __future__ import annotations

from typing import Final

CONTROL_PORT: Final = 3435
"""Where a node answers; 65 is upstream's own control, with another protocol."""
