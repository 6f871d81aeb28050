"""Locks between processes: flock(2), which belongs to an open file and dies with its process.

The only module that takes one. A lock is no file: what is written in the locked file is for people,
and the file is never removed, since another process may be waiting on it.
"""

from __future__ import annotations

import errno
import fcntl

NONE_HERE = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
"""Of an OSError: there are no locks here. Over NFS only who may write gets an exclusive one."""


def take(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file until it is closed.

    Args:
        descriptor: Of the file; two that were opened apart exclude each other, in one process, too.
        shared: Beside other shared ones.
        wait: For as long as somebody else holds it.

    Returns:
        False where somebody else holds it.

    Raises:
        OSError: There are no locks (`NONE_HERE`), or the file cannot be locked.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True
