"""The mirror in users' homes: root at work where users write, and the proof that it is read-only.

Nothing here fetches or builds. Written with calls of the system relative to open folders:
pathlib and shutil take paths, and what a path leads to is the user's to change between two calls.
"""
