"""What the configuration says: its tables with their keys, read from files and checked.

`settings` and the modules beside it are the documentation of the file, `files` finds and reads it,
`keys` describes every key. What a setting does must not enter here.
"""

from __future__ import annotations

from nbpipe.config.files import (
    FILE_NAME,
    SERVICE_FILE,
    SITE_VARIABLE,
    Config,
    changed,
    find,
    is_marked,
    load,
    site,
    user,
)

__all__ = [
    "FILE_NAME",
    "SERVICE_FILE",
    "SITE_VARIABLE",
    "Config",
    "changed",
    "find",
    "is_marked",
    "load",
    "site",
    "user",
]
