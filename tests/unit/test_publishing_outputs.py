"""What of an executed notebook is published: its outputs, and nothing else of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbpipe.publishing.copies.substance import EXECUTED, substance
from nbpipe.publishing.releases.manifest import File, Manifest, loss
from nbpipe.publishing.releases.outputs import MARK, NotTakenError, blob_of, graft

CANDIDATE = Path("/srv/nbpipe/.nbpipe/nb/building/gate/c0ffee")


def code(source: str, *outputs: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": count,
        "metadata": {},
        "outputs": list(outputs),
        "source": source,
    }


def stream(text: str) -> dict[str, Any]:
    return {"name": "stdout", "output_type": "stream", "text": text}


def written(*cells: dict[str, Any], **metadata: object) -> bytes:
    table = {"nbformat_minor": 4, "metadata": metadata, "cells": list(cells), "nbformat": 4}
    return json.dumps(table).encode()


def grafted(source: bytes, executed: bytes) -> bytes:
    made = graft(source, executed, blob="b10b", candidate=CANDIDATE, name="nb")
    assert made is not None
    return made


def test_only_outputs_counts_and_widgets_are_taken() -> None:
    source = written(code("x", stream("old"), count=7), kernelspec={"name": "python3"})
    ran = code("x", stream("new"), count=1)
    ran["metadata"] = {"execution": {"iopub.status.idle": "2026-01-31T12:00:00Z"}}
    executed = written(ran, papermill={"input_path": "/home/me/x"}, widgets={"state": {"a": 1}})

    made = json.loads(grafted(source, executed))

    assert made["cells"] == [code("x", stream("new"), count=1)]
    assert made["metadata"] == {
        "kernelspec": {"name": "python3"},
        "widgets": {"state": {"a": 1}},
        MARK: {"source": "b10b"},
    }
    assert MARK == EXECUTED
    assert substance(grafted(source, executed)) == substance(source)


def test_equal_outputs_of_two_machines_make_equal_bytes() -> None:
    source = written(code("x"))
    one = written(code("x", stream(f"{CANDIDATE}/a.py and /tmp/ipykernel_12/3.py:1: Warning")))
    two = written(
        code("x", stream("nb/a.py and /tmp/ipykernel_9/3.py:1: Warning") | {"transient": {"i": 1}}),
        papermill={"duration": 2},
    )

    assert grafted(source, one) == grafted(source, two)
    assert b"/srv/" not in grafted(source, one)


def test_injected_cells_are_not_published() -> None:
    source = written(code("a"), code(["b", ""]))  # type: ignore[arg-type]
    executed = written(code("seed()"), code("a", stream("1")), code("p = 1"), code("b", count=3))

    made = json.loads(grafted(source, executed))

    assert [cell["execution_count"] for cell in made["cells"]] == [None, 3]
    assert made["cells"][0]["outputs"] == [stream("1")]


def test_what_has_these_outputs_already_is_published_as_it_is() -> None:
    source = written(code("x", stream("1"), count=1))
    assert graft(source, source, blob="", candidate=CANDIDATE, name="nb") is None


@pytest.mark.parametrize(
    "executed",
    [
        written(code("y")),
        written(),
        b"{",
        b"[]",
        b'{"nbformat": 4, "cells": 1}',
        written({"cell_type": "code", "source": "x"}),
        json.dumps({"nbformat": 3, "cells": []}).encode(),
        b"[" * 100_000,
    ],
)
def test_what_is_not_this_notebook_is_not_taken(executed: bytes) -> None:
    with pytest.raises(NotTakenError):
        graft(written(code("x")), executed, blob="", candidate=CANDIDATE, name="nb")


def test_executed_notebooks_that_moved_are_not_lost() -> None:
    def held(*files: File) -> Manifest:
        return Manifest(commit="c", folders=(), files=files, links=())

    before = [File(f"{n}.ipynb", f"made{n}", executable=False, size=1, source=f"{n}") for n in "ab"]
    moved = [File(f"x/{n}.ipynb", n, executable=False, size=1) for n in "a"]

    assert loss(held(*before), held(*moved)) == 0
    assert held(*before).executed == 2


def test_a_blob_is_named_as_git_does() -> None:
    assert blob_of(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
