"""Apps in processes of their own: children of this process, or processes that others supervise and that attach.

``processes`` is the side that supervises, ``inside`` that of the app; what they say is in
``docs/protocol/app-process.md``.
"""
