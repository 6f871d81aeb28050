"""The mirror in users' homes: root at work where users write, and the proof that it is read-only.

Nothing here fetches or builds.
"""
