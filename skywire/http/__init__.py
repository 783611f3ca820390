"""HTTP over connections of a network, and over local TCP: server, client, and an app that serves a folder.

Each module is imported by itself, since the server needs another library than the client.
"""
