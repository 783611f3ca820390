"""The program ``standalone``."""
