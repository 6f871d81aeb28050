"""Run tasks: one notebook on a fresh kernel, many at once.

`execute` is one plain function, which can be called in this process, in a worker of a cluster
or in a batch job; `run_tasks` is the scheduling around it. Nothing here knows how a task was
chosen, or how a result is shown.
"""
