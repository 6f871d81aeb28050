"""origin -> release -> mirror: one commit of a branch becomes a whole, read-only folder.

In the order of the work: `origin` (the bare cache and its fetch), `tree` (what a commit holds,
judged by `names` and `links`), `build` (a folder of hard links), `mirror` (the flip),
`journal`, `reconcile` (when), and for people `releases`, `verify`, `retention`.

No HTTP, no click and no printing here; git is spoken to in `origin` only. Import the modules,
this package imports nothing.
"""
