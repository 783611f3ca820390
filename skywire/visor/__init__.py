"""The daemon: one node with its networks, its apps, and what controls it."""
