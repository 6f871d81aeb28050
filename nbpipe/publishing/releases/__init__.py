"""Releases on disk: built from held content, gated, kept, verified, shown by one rename, retired.

Where a tree comes from, and in whose home it appears, must not enter here.
"""
