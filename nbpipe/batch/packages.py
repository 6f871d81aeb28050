"""Which versions a notebook ran with: the distributions of its kernel's own Python."""

from __future__ import annotations

import json
import os
import sys

from nbpipe import collecting
from nbpipe.system import interpreters

_LIST = f"""
import json, sys
from importlib.metadata import distributions
found = {{}}
for each in distributions():
    name = (each.metadata["Name"] or "").lower().replace("_", "-")
    if name:
        found.setdefault(name, each.version or "")
found = {{"python": sys.version.split()[0], **dict(sorted(found.items()))}}
print({interpreters.MARK!r}, json.dumps(found))
"""
_SECONDS = 60


def of_kernel(name: str) -> dict[str, str]:
    """Return name -> version for a Python kernel; {} for any other, or one that cannot say."""
    kernel = collecting.installed_kernels().get(name)
    if kernel is None or kernel.language != "python":
        return {}
    try:
        answer = interpreters.ask(
            [kernel.interpreter or sys.executable], _LIST, environ=os.environ, patience=_SECONDS
        )
        return {str(key): str(value) for key, value in json.loads(answer).items()}
    except (interpreters.NoAnswerError, ValueError):
        return {}
