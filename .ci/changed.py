"""Print how the packages of this environment differ from those of a lock file.

python .ci/changed.py requirements.lock
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.markers import default_environment

from nbpipe.bisecting.locks import differences, read


def main(lock: str) -> None:
    """Print a line for each package that is another, or one that nothing is."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    done = subprocess.run(freeze, check=True, stdout=subprocess.PIPE)
    markers = {name: str(value) for name, value in default_environment().items()}
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "installed.txt"
        installed.write_bytes(done.stdout)
        changes = differences(read(Path(lock), markers), read(installed, markers))
    print(f"packages that differ from {lock}: {len(changes)}")
    for change in changes:
        print(f"  {change}")


if __name__ == "__main__":
    main(sys.argv[1])
