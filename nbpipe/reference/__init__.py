"""Reference runs: an integration notebook as a job, what it leaves, and how two runs differ.

`profiles`, `schedulers` and `state` run it; `manifest` is the record of it; `products` describes
its files and `comparison` compares two records. Nothing of the command line, and no page for
people (see `pages`, a room above this one), enters here. Importing it imports none of its parts.
"""
