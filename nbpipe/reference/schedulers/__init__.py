"""Schedulers: one small class each behind one protocol.

Nothing here decides what has become of a job: a class reports what the queue and the accounting
say, and says so when it got no answer.
"""
