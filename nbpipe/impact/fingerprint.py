"""A digest of everything outside of files that decides how a notebook is executed.

The same when it is recorded and when it is compared; nothing in it belongs to one machine. What
does *not* count is named here: a field that is new counts, until somebody decides that it does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from nbpipe.model import Limits, Prerun, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = ("cell_seconds", "notebook_seconds", "output_bytes")
"""A higher one changes nothing for a notebook that passed: compared by themselves."""

WITHOUT_EFFECT: Mapping[type, frozenset[str]] = {
    Task: frozenset(
        {"path", "file", "why", "kernel_why", "because", "notes"}  # which one, and for whom
        | {
            "retries",
            "slots",
            "groups",
            "memory",
            "expected",
            "turn",
            "cores",
        }  # when, and beside what
        | {"skip", "failure"}  # it is not executed then
        | {"user_site"}  # only what is said about it; `off` is in the environment
    ),
    Limits: frozenset({*LIMITS, "startup_seconds", "grace_seconds", "shutdown_seconds"}),
    Prerun: frozenset({"name"}),
}
"""Fields that cannot change the result of a notebook that passed."""


def settings(task: Task, argv: Sequence[str], own: Mapping[str, str]) -> str:
    """Return the digest of a task's settings and its kernelspec.

    Args:
        task: What counts of it is what can change a result, not when and where it runs.
        argv: The kernelspec's; where the interpreter lies does not count.
        own: The variables that the kernelspec sets.
    """
    values = {"task": _effective(task), "kernel": [list(argv[1:]), dict(own)]}
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def limits(task: Task) -> dict[str, float | None]:
    """Return the limits of a task that a notebook may exceed."""
    return {name: getattr(task.limits, name) for name in LIMITS}


def _effective(value: Any) -> Any:  # noqa: ANN401  (whatever a field holds)
    """Return what counts of a value, as JSON knows it."""
    if is_dataclass(value):
        ignored = WITHOUT_EFFECT.get(type(value), frozenset())
        names = [each.name for each in fields(value) if each.name not in ignored]
        return {name: _effective(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_effective(each) for each in value]
    return value
