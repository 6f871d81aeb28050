"""Telling people when something changes: a notebook begins to fail, recovers, a mirror stays old.

    changes.of_run(...), mirror_changes.of_collections(...)    what has happened: `Event`s
    delivery.tell(find, ...)                                   to every channel, each event once
    runs, service                                              both, for a run and for a service

Events follow from the history and from the health of what is published; `memory` keeps what was
told, so that nothing is told twice and what could not be told is told the next time. Nothing here
fails a run: what goes wrong is returned as text. Import the modules, this package imports nothing.
"""
