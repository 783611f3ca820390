"""The commands of the three programs."""

import gc

# What is imported stays: looking for garbage after every 700 objects, as Python does, only makes a command late.
gc.set_threshold(10_000, *gc.get_threshold()[1:])
