"""Repairs of findings: each changes a notebook's JSON in place; how the file is written stays.

Safe ones change nothing that a reader or a kernel sees. Pure functions on JSON; who writes the
file is `checks`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nbpipe.lint.findings import Fix
from nbpipe.lint.notebook import text
from nbpipe.lint.rules import RULES
from nbpipe.lint.rules.files import as_jupyter
from nbpipe.lint.rules.metadata import CELL_NOISE, NOTEBOOK_NOISE
from nbpipe.lint.selection import covers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.findings import Finding
    from nbpipe.lint.notebook import Notebook

    Repair = Callable[[dict[str, Any], frozenset[int]], None]

_IDS = 5


def fixed(
    notebook: Notebook, findings: Iterable[Finding], settings: CheckSettings, *, unsafe: bool
) -> tuple[bytes, list[Finding]]:
    """Return the file's new content, and the findings that it repairs.

    Args:
        notebook: The notebook.
        findings: What was found in it.
        settings: Which rules may be repaired.
        unsafe: Also what could change the meaning of the notebook.
    """
    wanted = [
        each
        for each in findings
        if each.fixable
        and each.rule in REPAIRS
        and covers(settings.fixable, each.rule)
        and (unsafe or RULES[each.rule].fix is Fix.SAFE)
    ]
    if not wanted:
        return notebook.content, []
    data = copy.deepcopy(dict(notebook.data))
    # Cells are addressed by their index, so what takes cells away comes last.
    for rule in sorted({each.rule for each in wanted}, key=lambda rule: (rule in _LAST, rule)):
        cells = frozenset(
            each.cell for each in wanted if each.rule == rule and each.cell is not None
        )
        REPAIRS[rule](data, cells)
    if any(each.rule == "NBP006" for each in wanted):
        return as_jupyter(data), wanted
    return _written(data, notebook.content), wanted


def _written(data: dict[str, Any], before: bytes) -> bytes:
    """Return the JSON in the form that the file had: indentation, escapes, ends of lines."""
    content = before.decode("utf-8-sig", errors="replace")
    indented = re.match(r"\{\r?\n([ \t]+)", content)
    escaped = content.isascii() and "\\u" in content
    made = json.dumps(
        data,
        ensure_ascii=escaped,
        indent=indented[1] if indented else None,
        separators=(",", ": ") if indented else None,
    )
    if "\r\n" in content[:1000]:
        made = made.replace("\n", "\r\n")
    end = re.search(r"\s*\Z", content)
    mark = b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b""
    return mark + f"{made}{end[0] if end else ''}".encode("utf-8", "surrogatepass")


def _cells(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in data.get("cells", []) if isinstance(cell, dict)]


def _new_id(cell: dict[str, Any], number: int, taken: set[str]) -> str:
    """Return an id made from what the cell holds, so that the same repair gives the same id."""
    salt = 0
    while True:
        mark = f"{number}\0{salt}\0{text(cell.get('source'))}".encode("utf-8", "replace")
        made = hashlib.sha256(mark).hexdigest()[:8]
        if made not in taken:
            taken.add(made)
            return made
        salt += 1


def _schema(data: dict[str, Any], _: frozenset[int]) -> None:
    with_ids = data.get("nbformat_minor", 0) >= _IDS
    taken = {str(cell.get("id")) for cell in _cells(data)}
    for number, cell in enumerate(_cells(data)):
        cell.setdefault("metadata", {})
        cell.setdefault("source", "")
        if cell.get("cell_type") == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
        elif cell.get("cell_type") in {"markdown", "raw"}:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
        if not with_ids:
            cell.pop("id", None)
        elif not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(cell.get("id", ""))):
            cell["id"] = _new_id(cell, number, taken)
    data.setdefault("metadata", {})


def _unique_ids(data: dict[str, Any], cells: frozenset[int]) -> None:
    taken = {str(cell.get("id")) for cell in _cells(data)}
    for number, cell in enumerate(data["cells"]):
        if number in cells:
            cell["id"] = _new_id(cell, number, taken)


def _add_ids(data: dict[str, Any], _: frozenset[int]) -> None:
    data["nbformat_minor"] = _IDS
    _schema(data, frozenset())


def _upgrade(data: dict[str, Any], _: frozenset[int]) -> None:
    import nbformat  # noqa: PLC0415  (slow)

    made = nbformat.convert(nbformat.from_dict(data), 4)
    data.clear()
    data.update(json.loads(nbformat.writes(made)))


def _kernelspec(data: dict[str, Any], _: frozenset[int]) -> None:
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    data["metadata"]["kernelspec"] = spec


def _display_name(data: dict[str, Any], _: frozenset[int]) -> None:
    data["metadata"]["kernelspec"]["display_name"] = "Python 3"


def _notebook_noise(data: dict[str, Any], _: frozenset[int]) -> None:
    for key in NOTEBOOK_NOISE & data["metadata"].keys():
        del data["metadata"][key]


def _widgets(data: dict[str, Any], _: frozenset[int]) -> None:
    data["metadata"].pop("widgets", None)


def _cell_noise(data: dict[str, Any], cells: frozenset[int]) -> None:
    for number in cells:
        metadata = data["cells"][number]["metadata"]
        for key in CELL_NOISE & metadata.keys():
            del metadata[key]


def _clear(data: dict[str, Any], cells: frozenset[int]) -> None:
    for number in cells:
        data["cells"][number].update(outputs=[], execution_count=None)


def _no_stderr(data: dict[str, Any], cells: frozenset[int]) -> None:
    for number in cells:
        cell = data["cells"][number]
        cell["outputs"] = [each for each in cell["outputs"] if each.get("name") != "stderr"]


def _inline(data: dict[str, Any], cells: frozenset[int]) -> None:
    def changed(line: str) -> str:
        return re.sub(r"^(\s*%matplotlib\s+)\w+", r"\1inline", line)

    _each_line(data, cells, changed)


def _stripped(data: dict[str, Any], cells: frozenset[int]) -> None:
    _each_line(data, cells, lambda line: re.sub(r"[ \t]+(?=\n?\Z)", "", line))


def _https(data: dict[str, Any], cells: frozenset[int]) -> None:
    _each_line(
        data,
        cells,
        lambda line: re.sub(r"http://(?!localhost|127\.|\[::1\])", "https://", line),
    )


def _each_line(data: dict[str, Any], cells: frozenset[int], changed: Callable[[str], str]) -> None:
    """Change the lines of the cells' source, which stays a text or a list as it was."""
    for number in cells:
        cell = data["cells"][number]
        lines = text(cell["source"]).splitlines(keepends=True)
        made = [changed(line) for line in lines]
        cell["source"] = made if isinstance(cell["source"], list) else "".join(made)


def _attachments(data: dict[str, Any], cells: frozenset[int]) -> None:
    for number in cells:
        cell = data["cells"][number]
        source = unquote(text(cell["source"]))
        kept = {name: each for name, each in cell["attachments"].items() if name in source}
        cell["attachments"] = kept
        if not kept:
            del cell["attachments"]


def _remove(data: dict[str, Any], cells: frozenset[int]) -> None:
    data["cells"] = [cell for number, cell in enumerate(data["cells"]) if number not in cells]


def _nothing(_: dict[str, Any], __: frozenset[int]) -> None:
    """Do nothing: writing the file anew is the repair."""


REPAIRS: dict[str, Repair] = {
    "NBP002": _upgrade,
    "NBP003": _schema,
    "NBP004": _unique_ids,
    "NBP005": _add_ids,
    "NBP006": _nothing,
    "NBP101": _kernelspec,
    "NBP103": _display_name,
    "NBP104": _notebook_noise,
    "NBP105": _cell_noise,
    "NBP106": _widgets,
    "NBP201": _clear,
    "NBP205": _no_stderr,
    **dict.fromkeys(("NBP206", "NBP207", "NBP208"), _clear),
    "NBP407": _inline,
    "NBP411": _remove,
    "NBP412": _stripped,
    "NBP604": _https,
    "NBP608": _attachments,
}
_LAST = ("NBP002", "NBP411")
