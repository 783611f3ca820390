"""Measures each path against its floor, in one run: ``python -m benchmarks``."""
