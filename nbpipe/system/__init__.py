"""The basement: what every room may use of the machine. Nothing here knows nbpipe's words.

files    bytes of one file in another one, shared where the file system can
secrets  `env:NAME` and `file:PATH`: what they stand for, by one set of rules
units    sizes, durations and counts: one grammar, and how they are written for people

Each is the only one that does what it does; `tests/unit/test_basement.py` finds everybody else.
"""
