"""The basement: what every room may use of the machine. Nothing here knows nbpipe's words.

files    written whole or not at all, on the disk where that counts; copies that share their blocks
git      every git but the watched one of an origin: environment, timeout, isolation as an argument
interpreters  questions to a kernel's Python or R, in a process of its own
locks    flock(2)
machine  processors, memory, control groups, and what was killed for memory
private  files and folders of our own, which nobody else may read
secrets  `env:NAME` and `file:PATH`: what they stand for, by one set of rules
rename, filesystem, accounts   renameat2(2), syncfs(2), users by name or by number
environments, kernelspecs      what an interpreter has; where kernels are described
wildmatch                      git's patterns, through pathspec
text     what comes from outside, made harmless for terminals, XML, UTF-8 and shells
units    sizes, durations and counts: one grammar, and how they are written for people

Each is the only one that does what it does; `tests/unit/test_basement.py` finds everybody else.
"""
