"""Known findings of a collection that begins to be checked: they are counted, not reported.

A finding is known by its rule, its notebook, and the cell's id or text, so that it stays known when
cells are moved, and is reported again when its cell changes.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError
from nbpipe.system import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbpipe.lint.findings import Finding

FORMAT = 1
NAME = "nbpipe-baseline.json"


def load(file: Path) -> Counter[str]:
    """Return how often each finding is known, by its fingerprint.

    Raises:
        UsageError: The file cannot be read, or is none of ours.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        known = {entry["fingerprint"]: int(entry["count"]) for entry in data["findings"]}
    except OSError as error:
        raise UsageError(
            f"baseline {file}: cannot be read: {error.strerror}",
            hint="`nbpipe check --write-baseline` writes one.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"baseline {file}: is not a baseline of nbpipe check") from error
    return Counter(known)


def without(findings: Iterable[Finding], known: Counter[str]) -> tuple[list[Finding], int]:
    """Return the findings that are not known, and the number of those that are."""
    left, new, old = Counter(known), [], 0
    for finding in findings:
        if left[finding.fingerprint] > 0:
            left[finding.fingerprint] -= 1
            old += 1
        else:
            new.append(finding)
    return new, old


def write(file: Path, findings: Iterable[Finding]) -> int:
    """Write these findings as known ones; return how many."""
    found = list(findings)
    counts = Counter(each.fingerprint for each in found)
    entries = [
        {"path": path, "rule": rule, "count": counts[mark], "fingerprint": mark}
        for path, rule, mark in sorted({(one.path, one.rule, one.fingerprint) for one in found})
    ]
    document = {"format": FORMAT, "findings": entries}
    files.replace(file, f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode())
    return len(found)
