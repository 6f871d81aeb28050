"""A run told on GitHub from any machine: a commit status or a check run, and one comment.

    settings --connecting.connect--> Connection --targets.target--> Target
    loading.load(...) -> Loaded(run, lines) --content.compose--> Content
    target.begin(...); target.finish(content)

`client` alone speaks HTTP; `patience` decides, without doing anything, how long to wait for what
GitHub answered. What a run is and how it is worded stands in the rooms below. Nothing here
executes a notebook, and no token or key reaches a message, a log or a repr.

Import the modules, this package imports nothing: `requests` takes its time.
"""
