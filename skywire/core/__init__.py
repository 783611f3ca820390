"""What every process with apps has at its core: a visor, and an app that runs alone."""
