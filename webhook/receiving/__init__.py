"""Beacons: from the first byte of a request to a decision and a remembered delivery.

What is published, and what pages show, must not enter here.
"""
