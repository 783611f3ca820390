"""Controlling a process with apps from outside: typed interfaces, called over any byte stream."""
