"""What a machine can say about a notebook without executing it: rules, findings, safe repairs.

A rule is a function with an id, in `rules`; it sees one `Notebook` and yields findings. Kernels,
runs and their results must not enter here.
"""
