"""The Flask service: receiver of beacons, reconcile worker, pages, health and metrics.

An empty room for now. What enters here speaks HTTP; how a release is built, published and
read stays in `nbpipe.publishing`, and nothing in `nbpipe` imports from here.
"""
