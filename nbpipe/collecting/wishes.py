"""What a notebook's own metadata asks of its execution, in the words of three other tools.

`execution` is nbclient's and papermill's, `nbsphinx` is nbsphinx's
(https://nbsphinx.readthedocs.io/en/latest/executing-notebooks.html), `mystnb` is MyST-NB's
(https://myst-nb.readthedocs.io/en/latest/configuration.html). Where they differ, the first one
that says something holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Wishes:
    """What the notebook asks for."""

    timeout: float | None = None
    """Seconds for one cell; meaningful where `has_timeout`; None: for ever."""
    has_timeout: bool = False
    allow_errors: bool = False
    skip: str | None = None
    """Why it is not to be executed."""
    notes: list[str] = field(default_factory=list)


def read_wishes(metadata: Mapping[str, Any]) -> Wishes:
    """Return what the metadata asks for; what it says in wrong types is noted and ignored."""
    wishes = Wishes()
    tables = {
        key: _table(metadata, key, wishes.notes) for key in ("execution", "nbsphinx", "mystnb")
    }
    for key, table in tables.items():
        prefix = "execution_" if key == "mystnb" else ""
        _timeout(table, f"{prefix}timeout", key, wishes)
        _allow_errors(table, f"{prefix}allow_errors", key, wishes)
    if tables["nbsphinx"].get("execute") == "never":
        wishes.skip = "its metadata says nbsphinx.execute = never"
    elif tables["mystnb"].get("execution_mode") in ("off", False):  # YAML reads `off` as false
        wishes.skip = "its metadata says mystnb.execution_mode = off"
    return wishes


def _table(metadata: Mapping[str, Any], key: str, notes: list[str]) -> Mapping[str, Any]:
    value = metadata.get(key, {})
    if isinstance(value, dict):
        return value
    # nbsphinx also knows cell metadata of that name, a text; as the notebook's it means nothing
    notes.append(f"metadata.{key} is not an object: ignored")
    return {}


def _timeout(table: Mapping[str, Any], name: str, key: str, wishes: Wishes) -> None:
    if name not in table:
        return
    value = table[name]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        wishes.notes.append(f"metadata.{key}.{name} is not a number of seconds: ignored")
    elif not wishes.has_timeout:
        wishes.has_timeout = True
        # -1, 0 and null switch it off in all three tools; so does NaN, which is in no order
        wishes.timeout = float(value) if value is not None and value > 0 else None


def _allow_errors(table: Mapping[str, Any], name: str, key: str, wishes: Wishes) -> None:
    value = table.get(name)
    if isinstance(value, bool):
        wishes.allow_errors = wishes.allow_errors or value
    elif value is not None:
        wishes.notes.append(f"metadata.{key}.{name} is neither true nor false: ignored")
