"""Kernels say things in odd ways: an error is an error, and nothing hangs."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ondisk import Collection

if TYPE_CHECKING:
    from collections.abc import Callable

    from ondisk import Ended

ODD = {"kernelspec": {"name": "odd", "display_name": "odd", "language": "odd"}}
LIMIT = "100"
"""Seconds for a cell: what waits for something that does not come is a timeout."""

ERRORS: dict[str, Any] = {
    "no-traceback": {"ename": "E", "evalue": "bad"},
    "number": {"ename": "E", "evalue": 17, "traceback": ["t"]},
    "text-traceback": {"ename": "E", "evalue": "bad", "traceback": "one text"},
    "nulls": {"ename": None, "evalue": None, "traceback": None},
    "list": ["boom", 1],
    "null": None,
    "half": {"raw": '{"ename": "E'},
    "latin-1": {"raw": '{"ename": "E", "evalue": "caf\xe9", "traceback": []}'},
}
REPLIES: dict[str, tuple[Any, ...]] = {
    "aborted": ({"status": "aborted"},),
    "no-status": ({},),
    "list": ([1],),
    "half": ({"raw": "{"},),
    "deep": ({"raw": "[" * 100_000},),
    "signature": ({"status": "ok"}, {"signature": "0" * 64}),
    "header": ({"status": "ok"}, {"header": [1]}),
    "fields": ({"status": "error", "ename": 3, "payload": [1, None], "user_expressions": 7},),
}
HARMLESS: list[tuple[Any, ...]] = [
    ("stream", {"text": "a"}),
    ("stream", {"name": "stderr", "text": ["b", "c"]}),
    ("display_data", {"data": [1], "metadata": None}),
    ("display_data", {"data": {"text/plain": 3, "text/html": None, "application/json": {}}}),
    ("display_data", {"raw": '{"data": {"application/json": [NaN, %s]}}' % ("9" * 5000)}),
    ("display_data", {"data": {"text/plain": "4"}, "transient": {"display_id": {"x": 1}}}),
    ("execute_result", {"data": {"text/plain": "42"}, "metadata": {}}),
    ("execute_result", {"data": {"text/plain": "42"}, "execution_count": None}),
    ("update_display_data", {"data": {}, "transient": {"display_id": "nobody"}}),
    ("clear_output", {"wait": "yes"}),
    ("comm_open", {"comm_id": [1], "data": 3}),
    ("comm_msg", {"comm_id": "x", "data": {"state": 3, "buffer_paths": 3}}),
    ("status", {"execution_state": ["idle"]}),
    ("status", None),
    ("nosuch", {"a": 1}),
    ("stream", {"name": "stdout", "text": "the end"}),
]


EXITS = {
    "sys.exit(not True)": "passed",
    "sys.exit(None)": "passed",
    "sys.exit(0)": "passed",
    "raise SystemExit": "passed",
    "sys.exit(not False)": "failed",
    "sys.exit('0')": "failed",
    "sys.exit('')": "failed",
    "sys.exit(0.0)": "failed",
    "sys.exit('text')": "failed",
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a run of them all."""
    folder = tmp_path_factory.mktemp("odd")
    kernel = folder / "kernels/odd"
    kernel.mkdir(parents=True)
    program = [sys.executable, str(Path(__file__).parents[1] / "oddkernel.py")]
    spec = {"argv": [*program, "-f", "{connection_file}"], "display_name": "odd", "language": "odd"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    made = Collection(folder / "collection", folder / "output", {"JUPYTER_PATH": str(folder)})

    def cell(*messages: tuple[Any, ...]) -> str:
        return json.dumps(messages)

    for name, content in ERRORS.items():
        made.notebook(f"error-{name}.ipynb", cell(("iopub", "error", content)), **ODD)
    for name, (content, *parts) in REPLIES.items():
        made.notebook(
            f"reply-{name}.ipynb", cell(("shell", "execute_reply", content, *parts)), **ODD
        )
    made.notebook("harmless.ipynb", cell(*(("iopub", *each) for each in HARMLESS)), **ODD)
    made.notebook(
        "parent.ipynb",
        cell(("shell", "execute_reply", {"status": "ok"}, {"parent_header": None})),
        **ODD,
    )
    made.notebook(
        "anonymous.ipynb",
        cell(("iopub", "error", {"ename": "E", "evalue": "whose?"}, {"parent_header": {}})),
        **ODD,
    )
    made.notebook(
        "anonymous-late.ipynb",
        cell(
            ("shell", "execute_reply", {"status": "ok"}),
            ("iopub", "error", {"ename": "E", "evalue": "whose?"}, {"parent_header": {}}),
        ),
        **ODD,
    )
    made.notebook(
        "comm.ipynb",
        cell(("iopub", "comm_open", {"comm_id": "\xe9", "target_name": "jupyter.widget",
              "data": {"state": {"_model_module": "@jupyter-widgets/output"}}})),
        **ODD,
    )  # fmt: skip
    reason = "1:1 - error TS2304: Cannot find name 'foo'.\n\n1 foo\n  ~~~\n"
    for name, said in (("types", reason), ("quiet", "")):
        made.notebook(
            f"nameless-{name}.ipynb",
            cell(
                ("iopub", "stream", {"name": "stderr", "text": said}),
                ("shell", "execute_reply", {"status": "error", "ename": "", "evalue": ""}),
            ),
            **ODD,
        )
    return made.test("--timeout", LIMIT, "-n", "2")


@pytest.mark.parametrize("name", [f"error-{name}" for name in ERRORS])
def test_an_error_that_nbformat_refuses_is_an_error(ended: Ended, name: str) -> None:
    told = ended[f"{name}.ipynb"]
    assert (told["outcome"], told["failure"]["category"]) == ("failed", "exception")
    assert not told["failure"]["name"].startswith("nbpipe.")


@pytest.mark.parametrize("name", [f"reply-{name}" for name in REPLIES])
def test_a_reply_that_does_not_say_ok_is_a_failure_at_once(ended: Ended, name: str) -> None:
    told = ended[f"{name}.ipynb"]
    assert (told["outcome"], told["failure"]["category"]) == ("failed", "exception")


def test_what_is_odd_and_no_error_passes_and_is_kept(ended: Ended) -> None:
    told = ended["harmless.ipynb"]
    assert (told["outcome"], told["notes"]) == ("passed", [])
    outputs = ended.executed("harmless.ipynb").cells[0].outputs
    assert [output.get("text") for output in outputs] == ["the end"]  # the others were cleared


def test_a_message_without_a_parent_is_about_the_cell_that_runs(ended: Ended) -> None:
    assert ended["parent.ipynb"]["outcome"] == "passed"
    for name in ("anonymous", "anonymous-late"):  # as fast as the other channel, or not
        assert ended[f"{name}.ipynb"]["failure"]["message"] == "whose?"


def test_what_could_not_be_kept_is_noted(ended: Ended) -> None:
    told = ended["comm.ipynb"]
    assert told["outcome"] == "passed"
    assert told["notes"][0].startswith("the kernel sent what could not be kept: one message (comm")
    lost = ended["error-half.ipynb"]["notes"][0]
    assert lost.startswith("the kernel sent what could not be kept: one message (error)")


def test_errors_without_a_name_are_told_apart_by_what_was_said(ended: Ended) -> None:
    told = ended["nameless-types.ipynb"]["failure"]
    assert told["message"] == "error TS2304: Cannot find name 'foo'."
    quiet = ended["nameless-quiet.ipynb"]["failure"]
    assert quiet["message"] == "the kernel reports an error without a reason"
    assert quiet["signature"] != told["signature"]


def test_bytes_that_are_not_utf_8_cost_no_time_and_no_output(collection: Collection) -> None:
    raises = 'raise ValueError(b"caf\\xe9".decode("utf-8", "surrogateescape"))'
    tagged = (raises, {"tags": ["raises-exception"]})
    collection.notebook("tagged.ipynb", tagged, 'print("next")')
    collection.notebook("raised.ipynb", raises)
    collection.notebook("said.ipynb", r'print("a\udce9b" * 700_000)')
    ended = collection.test("--timeout", LIMIT)
    assert ended["tagged.ipynb"]["outcome"] == "passed"
    assert ended.executed("tagged.ipynb").cells[1].outputs[0]["text"] == "next\n"
    assert ended["raised.ipynb"]["failure"]["name"] == "ValueError"
    assert ended["said.ipynb"]["outcome"] == "passed"
    assert "a\ufffdb" * 1000 in ended.executed("said.ipynb").cells[0].outputs[0]["text"]


def test_an_error_in_an_output_widget_is_noted(
    collection: Collection, need: Callable[[bool, str], None]
) -> None:
    need(find_spec("ipywidgets") is not None, "ipywidgets")
    show = "import ipywidgets\nout = ipywidgets.Output(); display(out)\nwith out:\n    1/0"
    collection.notebook("a.ipynb", show, "print('after')")
    collection.notebook("b.ipynb", (show, {"tags": ["raises-exception"]}), "print('after')")
    collection.notebook("c.ipynb", show.replace("1/0", "print('fine')"))
    collection.notebook("d.ipynb", f"{show}\nnosuch")
    ended = collection.test()
    outcomes = [ended[f"{name}.ipynb"]["outcome"] for name in "abcd"]
    assert outcomes == ["passed", "passed", "passed", "failed"]
    note = "cells[0] passed, but shows an error in an Output widget: ZeroDivisionError: division"
    assert ended["a.ipynb"]["notes"] == [f"{note} by zero"]
    assert [ended[name]["notes"] for name in ("b.ipynb", "c.ipynb")] == [[], []]
    assert ended["d.ipynb"]["failure"]["name"] == "NameError"


def test_an_error_that_a_cell_clears_away_is_noted(collection: Collection) -> None:
    show = "try:\n    1/0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()\n"
    clear = "from IPython.display import clear_output\nclear_output()"
    collection.notebook("a.ipynb", show + clear)
    collection.notebook("b.ipynb", show)
    ended = collection.test()
    told = ended["a.ipynb"]
    note = "cells[0] showed an error (ZeroDivisionError) and cleared it away"
    assert (told["outcome"], told["notes"]) == ("passed", [note])
    assert ended["b.ipynb"]["failure"]["name"] == "ZeroDivisionError"


@pytest.mark.parametrize(("code", "outcome"), EXITS.items())
def test_sys_exit_is_what_it_is_for_a_script(code: str, outcome: str, exits: Ended) -> None:
    assert exits[f"{code.encode().hex()}.ipynb"]["outcome"] == outcome


@pytest.fixture(scope="module")
def exits(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("exits")
    made = Collection(folder / "collection", folder / "output")
    for code in EXITS:
        made.notebook(f"{code.encode().hex()}.ipynb", f"import sys\n{code}", "never")
    return made.test()
