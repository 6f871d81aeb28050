"""What is fetched: an origin's bare cache, its trees, and what of them may pass.

Nothing here writes a release or knows of users.
"""
