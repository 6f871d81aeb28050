"""Which versions a notebook ran with: the distributions of its kernel's own Python."""

from __future__ import annotations

import json
import subprocess
import sys

from nbpipe import collecting

_LIST = """
import json, sys
from importlib.metadata import distributions
found = {}
for each in distributions():
    name = (each.metadata["Name"] or "").lower().replace("_", "-")
    if name:
        found.setdefault(name, each.version or "")
print(json.dumps({"python": sys.version.split()[0], **dict(sorted(found.items()))}))
"""
_SECONDS = 60


def of_kernel(name: str) -> dict[str, str]:
    """Return name -> version for a Python kernel; {} for any other, or one that cannot say."""
    kernel = collecting.installed_kernels().get(name)
    if kernel is None or kernel.language != "python":
        return {}
    try:
        done = subprocess.run(
            [kernel.interpreter or sys.executable, "-c", _LIST],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return {str(key): str(value) for key, value in json.loads(done.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
