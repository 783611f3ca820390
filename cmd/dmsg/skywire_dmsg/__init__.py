"""The program ``dmsg``."""
