"""The Flask service: receiver of beacons, reconcile worker, pages, health and metrics.

What enters here speaks HTTP; how a release is built, published and read stays in
`nbpipe.publishing`. Nothing in `nbpipe` imports from here, except the command that starts it.
"""
