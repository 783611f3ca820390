"""The process of one role: ``python -m benchmarks.role <name> <parameters as JSON>``."""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.reading import Parameters


def main() -> None:
    """Run the role ``<module>.<function>`` of this package."""
    name, parameters = sys.argv[1], json.loads(sys.argv[2])
    module, _, function = name.rpartition(".")
    getattr(importlib.import_module(f"benchmarks.{module}"), function)(Parameters(parameters))


if __name__ == "__main__":
    main()
