"""Pages and JSON for people and programs: health, results, references; who may see them.

Nothing here writes, but for the token and rendered copies.
"""
