"""A digest of everything outside of files that decides how a notebook is executed.

The same when it is recorded and when it is compared; nothing in it belongs to one machine.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.model import Task


def settings(task: Task, argv: Sequence[str], own: Mapping[str, str]) -> str:
    """Return the digest of a task's settings and its kernelspec.

    Args:
        task: What counts of it is what can change a result, not when and where it runs.
        argv: The kernelspec's; where the interpreter lies does not count.
        own: The variables that the kernelspec sets.
    """
    limits = task.limits
    values = {
        "kernel": [task.kernel, task.language, list(argv[1:]), dict(own)],
        "limits": [limits.cell_seconds, limits.notebook_seconds, limits.output_bytes],
        "parameters": dict(task.parameters),
        "prerun": [[each.language, each.source] for each in task.prerun],
        "errors": [task.all_errors, task.allow_errors],
    }
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
