"""A notebook that was only run is not changed: what counts as work, and where a run is kept."""

from __future__ import annotations

import copy as copying
import json
import shutil
import stat
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from nbpipe.publishing.copies.folder import CopyFolder
from nbpipe.publishing.copies.releases import MirrorFolder
from nbpipe.publishing.copies.substance import substance
from nbpipe.publishing.copies.update import Wanted, take
from nbpipe.publishing.copies.writer import Writer
from tests.mirrors import HandMadeMirror, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbpipe.publishing.copies.report import Report

Table = dict[str, Any]


def notebook(source: str = "print(1)", **metadata: object) -> Table:
    return {
        "cells": [
            {
                "cell_type": "markdown",
                "id": "aa",
                "metadata": {},
                "source": ["# A title\n", "text"],
                "attachments": {"i.png": {"image/png": "aGVsbG8="}},
            },
            {
                "cell_type": "code",
                "execution_count": None,
                "id": "bb",
                "metadata": {"tags": ["parameters"]},
                "outputs": [],
                "source": source,
            },
        ],
        "metadata": {
            "kernelspec": {"display_name": "P", "language": "python", "name": "python3"},
            **metadata,
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def written(table: Table, indent: int | None = None) -> str:
    return json.dumps(table, indent=indent)


def executed(table: Table, said: str = "1\n") -> Table:
    """Return what Jupyter saves after a run."""
    done = copying.deepcopy(table)
    code = done["cells"][1]
    code["execution_count"] = 1
    code["outputs"] = [{"name": "stdout", "output_type": "stream", "text": [said]}]
    code["metadata"]["execution"] = {"iopub.status.busy": "2026-01-31T12:00:00Z"}
    done["metadata"]["language_info"] = {"name": "python", "version": "3.12.1"}
    done["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    done["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    return done


# ---------------------------------------------------------------- what counts as work

Change = "Callable[[Table], object]"

NO_WORK: dict[str, Change] = {
    "output": lambda n: n["cells"][1].update(outputs=[{"output_type": "stream", "text": "x"}]),
    "execution count": lambda n: n["cells"][1].update(execution_count=7),
    "widget state": lambda n: n["metadata"].update(widgets={"x": {"state": {}}}),
    "language": lambda n: n["metadata"].update(language_info={"name": "python"}),
    "display name": lambda n: n["metadata"]["kernelspec"].update(display_name="Py 3"),
    "cell timings": lambda n: n["cells"][1]["metadata"].update(
        execution={"shell.execute_reply": "t"}, ExecuteTime={"end_time": "t"}, papermill={"d": 1}
    ),
    "papermill": lambda n: n["metadata"].update(papermill={"duration": 1.5}),
    "output folded": lambda n: n["cells"][1]["metadata"].update(
        collapsed=True, scrolled=True, jupyter={"outputs_hidden": True}
    ),
    "heading folded": lambda n: n["cells"][0]["metadata"].update(
        {"jp-MarkdownHeadingCollapsed": True}
    ),
    "cell properties looked at": lambda n: n["cells"][1]["metadata"].update(
        editable=True, slideshow={"slide_type": ""}
    ),
    "new ids": lambda n: [c.update(id=f"x{i}") for i, c in enumerate(n["cells"])],
    "older minor": lambda n: (n.update(nbformat_minor=2), [c.pop("id") for c in n["cells"]]),
    "lines of a source": lambda n: n["cells"][0].update(source="# A title\ntext"),
    "Windows lines": lambda n: n["cells"][0].update(source="# A title\r\ntext"),
    "empty attachments": lambda n: n["cells"][1].update(attachments={}),
    "empty tags": lambda n: n["cells"][0]["metadata"].update(tags=[]),
    "Colab": lambda n: (
        n["cells"][1]["metadata"].update(executionInfo={"elapsed": 3}, outputId="x"),
        n["metadata"].update(colab={"provenance": []}),
    ),
    "VS Code": lambda n: n["metadata"].update(orig_nbformat=4, vscode={"interpreter": {}}),
}

WORK: dict[str, Change] = {
    "source": lambda n: n["cells"][1].update(source="print(2)"),
    "a space": lambda n: n["cells"][1].update(source="print(1) "),
    "order": lambda n: n["cells"].reverse(),
    "one cell less": lambda n: n["cells"].pop(),
    "type": lambda n: n["cells"][0].update(cell_type="raw"),
    "attachment": lambda n: n["cells"][0].update(attachments={"i.png": {"image/png": "eA=="}}),
    "tag": lambda n: n["cells"][1]["metadata"].update(tags=["skip-execution"]),
    "own metadata of a cell": lambda n: n["cells"][1]["metadata"].update(mine=1),
    "own metadata": lambda n: n["metadata"].update(title="mine"),
    "timeout": lambda n: n["metadata"].update(execution={"timeout": 60}),
    "kernel": lambda n: n["metadata"]["kernelspec"].update(name="ir"),
    "hidden input": lambda n: n["cells"][1]["metadata"].update(jupyter={"source_hidden": True}),
    "not editable": lambda n: n["cells"][1]["metadata"].update(editable=False),
}


def same_work(before: str | bytes, after: str | bytes) -> bool:
    one, other = (substance(x.encode() if isinstance(x, str) else x) for x in (before, after))
    return other.same_work(one)


@pytest.mark.parametrize("change", NO_WORK)
def test_what_running_and_saving_leave_is_no_work(change: str) -> None:
    after = notebook()
    NO_WORK[change](after)
    assert after != notebook()
    assert same_work(written(notebook()), written(after))


@pytest.mark.parametrize("change", WORK)
def test_what_somebody_did_is_work(change: str) -> None:
    after = executed(notebook())
    WORK[change](after)
    assert not same_work(written(notebook()), written(after))


def test_the_way_json_is_written_is_no_work() -> None:
    table = notebook(title="é", timeout=60.0)
    browser = json.dumps(table | {"metadata": {**table["metadata"], "timeout": 60}}, indent=1)
    assert same_work(json.dumps(table, ensure_ascii=False, sort_keys=True), browser + "\n\n")


def test_a_kernel_chosen_where_none_was_named_is_no_work() -> None:
    bare = notebook()
    del bare["metadata"]["kernelspec"]
    assert same_work(written(bare), written(executed(notebook())))
    assert not same_work(written(notebook()), written(bare))


def test_a_large_notebook_is_the_same_work_as_a_small_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = written(notebook()), written(executed(notebook(), "x" * 2_000_000))
    assert same_work(small, large)
    assert same_work(small, large.replace('"stream"', "NaN"))
    monkeypatch.setitem(sys.modules, "msgspec", None)  # getlatest is installed without it
    assert same_work(small, large)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(lambda text: text.replace('"1\\n"', "NaN"), id="NaN in an output"),
        pytest.param(lambda text: text.replace("1\\n", "\\ud800"), id="a lone surrogate in one"),
        pytest.param(lambda text: "\ufeff" + text, id="a byte order mark"),
    ],
)
def test_what_a_lenient_reader_reads_is_read(odd: Callable[[str], str]) -> None:
    text = odd(written(executed(notebook())))
    assert same_work(written(notebook()), text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "1", '{"nbformat": 4}', '{"nbformat": 4, "cells": 1}', "\xff"),
        *('{"nbformat": 4, "cells": [1]}', '{"nbformat": 4, "cells": [], "metadata": [1]}'),
        '{"nbformat": 4, "cells": [{"source": [1]}]}',
        '{"nbformat": 3, "worksheets": [{"cells": []}], "cells": []}',
        '{"nbformat": 4, "cells": [], "metadata": {"x": ' + "[" * 5_000 + "]" * 5_000 + "}}",
    ],
)
def test_what_is_no_notebook_has_only_its_bytes(text: str) -> None:
    data = text.encode("latin-1")
    assert substance(data).digest == ""
    assert not same_work(data, data)


def test_real_notebooks_saved_by_jupyters_own_library_are_the_same_work(tmp_path: Path) -> None:
    for table in (notebook(), notebook("x = '''\na\n'''\n")):
        read = nbformat.from_dict(table)  # type: ignore[no-untyped-call]
        nbformat.write(read, tmp_path / "n.ipynb")
        assert same_work(written(table), (tmp_path / "n.ipynb").read_bytes())


# ---------------------------------------------------------------- what becomes of a run


class Copy:
    """A mirror with one notebook, and a copy of it that somebody uses."""

    def __init__(self, folder: Path) -> None:
        self.mirror = HandMadeMirror(folder / "srv")
        self.path = folder / "copy"
        self.file = self.path / "a/n.ipynb"
        self.kept = self.path / "a/n__executed.ipynb"
        self.commits = iter("abcdef0123456789")

    def publish(self, *sources: str, **more: str) -> list[str]:
        """Publish notebooks n.ipynb, n1.ipynb, …; return their texts."""
        texts = [written(notebook(source)) for source in sources]
        files = {f"a/n{number or ''}.ipynb": text for number, text in enumerate(texts)}
        self.mirror.publish(next(self.commits) * 7, {**files, "README": "r", **more})
        return texts

    def take(self, **words: Any) -> Report:  # noqa: ANN401  (of Wanted)
        release = MirrorFolder("notebooks-latest", self.mirror.path).release()
        try:
            return take(release, self.path, Wanted(**words))
        finally:
            release.close()

    def run(self, file: Path | None = None, said: str = "1\n") -> str:
        """Run a notebook of the copy and save it; return what was saved."""
        file = file or self.file
        text = written(executed(json.loads(file.read_text()), said), indent=1) + "\n"
        file.write_text(text)
        return text

    def notebooks(self) -> list[str]:
        return sorted(path.name for path in self.path.rglob("*.ipynb"))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    made = Copy(tmp_path)
    made.publish("print(1)")
    made.take()
    return made


def test_a_run_without_news_is_not_worth_a_word(copy: Copy) -> None:
    text = copy.run()
    report = copy.take()
    assert (report.kept, report.same, report.changed) == ([], ["README", "a/n.ipynb"], False)
    assert copy.file.read_text() == text


def test_a_run_moves_beside_once_whatever_comes_from_upstream(copy: Copy) -> None:
    text = copy.run()
    for number in (2, 3, 4):
        (new,) = copy.publish(f"print({number})")
        report = copy.take()
        assert (report.updated, report.beside) == (["a/n.ipynb"], [])
        assert copy.file.read_text() == new
    assert copy.notebooks() == ["n.ipynb", "n__executed.ipynb"]
    assert copy.kept.read_text() == text


def test_a_newer_run_replaces_the_one_that_is_kept(copy: Copy) -> None:
    for number in (2, 3, 4):
        text = copy.run(said=f"{number}\n")
        copy.publish(f"print({number})")
        report = copy.take()
        assert report.executed == [("a/n.ipynb", "a/n__executed.ipynb")]
        assert copy.kept.read_text() == text
    assert copy.notebooks() == ["n.ipynb", "n__executed.ipynb"]


def test_a_kept_run_that_is_only_run_again_is_still_one_file(copy: Copy) -> None:
    copy.run()
    copy.publish("print(2)")
    copy.take()
    copy.run(copy.kept, "again\n")
    text = copy.run()
    copy.publish("print(3)")
    copy.take()
    assert copy.notebooks() == ["n.ipynb", "n__executed.ipynb"]
    assert copy.kept.read_text() == text


def test_a_kept_run_in_which_the_user_works_is_theirs(copy: Copy) -> None:
    copy.run()
    copy.publish("print(2)")
    copy.take()
    mine = written(notebook("my work"))
    copy.kept.write_text(mine)
    text = copy.run()
    copy.publish("print(3)")
    assert copy.take().executed == [("a/n.ipynb", "a/n__executed-2.ipynb")]
    assert copy.kept.read_text() == mine
    assert (copy.path / "a/n__executed-2.ipynb").read_text() == text


def test_a_file_of_the_users_with_that_name_is_never_replaced(copy: Copy) -> None:
    mine = copy.run()
    copy.kept.write_text("mine")
    copy.publish("print(2)")
    assert copy.take().executed == [("a/n.ipynb", "a/n__executed-2.ipynb")]
    assert copy.kept.read_text() == "mine"
    assert (copy.path / "a/n__executed-2.ipynb").read_text() == mine


def test_a_kept_run_is_as_private_and_as_old_as_it_was(copy: Copy) -> None:
    copy.run()
    copy.file.chmod(0o600)
    before = copy.file.stat()
    copy.publish("print(2)")
    copy.take()
    after = copy.kept.stat()
    assert (stat.S_IMODE(after.st_mode), after.st_mtime_ns) == (0o600, before.st_mtime_ns)


def test_work_in_a_notebook_that_was_run_keeps_the_name(copy: Copy) -> None:
    copy.run()
    mine = executed(notebook("my work"))
    copy.file.write_text(written(mine))
    copy.publish("print(2)")
    report = copy.take()
    assert (report.updated, report.executed) == ([], [])
    assert report.beside == [("a/n.ipynb", "a/n__bbbbbbb.ipynb")]
    assert copy.file.read_text() == written(mine)


def test_a_broken_notebook_is_changed_not_run(copy: Copy) -> None:
    copy.file.write_text(copy.run()[:-20])
    copy.publish("print(2)")
    assert copy.take().beside == [("a/n.ipynb", "a/n__bbbbbbb.ipynb")]


def test_a_run_of_what_upstream_deleted_stays_even_if_pruned(copy: Copy) -> None:
    text = copy.run()
    copy.publish()
    report = copy.take(prune=True)
    assert (report.gone, report.pruned) == (["a/n.ipynb"], [])
    assert copy.file.read_text() == text


def test_a_run_of_what_upstream_made_a_folder_moves_beside(copy: Copy) -> None:
    text = copy.run()
    copy.publish(**{"a/n.ipynb/x": "x"})
    report = copy.take()
    assert report.executed == [("a/n.ipynb", "a/n__executed.ipynb")]
    assert (copy.kept.read_text(), (copy.file / "x").read_text()) == (text, "x")


def test_a_folder_with_a_run_in_it_does_not_give_way_to_a_file(copy: Copy) -> None:
    text = copy.run()
    copy.publish(a="a file now")
    assert [path for path, _ in copy.take().beside] == ["a"]
    assert copy.file.read_text() == text


def test_a_file_beside_that_was_only_run_is_replaced_and_its_run_kept(copy: Copy) -> None:
    copy.file.write_text(written(notebook("my work")))
    copy.publish("print(2)")
    copy.take()
    text = copy.run(copy.path / "a/n__bbbbbbb.ipynb")
    copy.publish("print(3)")
    report = copy.take()
    assert report.replaced == ["a/n__bbbbbbb.ipynb"]
    assert copy.notebooks() == ["n.ipynb", "n__ccccccc.ipynb", "n__executed.ipynb"]
    assert copy.kept.read_text() == text


def test_a_run_of_a_hand_made_copy_is_adopted(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.publish("print(1)")
    copy.file.parent.mkdir(parents=True)
    text = written(executed(notebook("print(1)")))
    copy.file.write_text(text)
    assert copy.take().same == ["a/n.ipynb"]
    copy.publish("print(2)")
    assert copy.take().executed == [("a/n.ipynb", "a/n__executed.ipynb")]
    assert copy.kept.read_text() == text


def test_upstream_runs_its_notebooks_too(copy: Copy) -> None:
    text = copy.run()
    new = written(executed(notebook("print(1)"), "theirs\n"))
    copy.publish(**{"a/n.ipynb": new})
    copy.take()
    assert (copy.file.read_text(), copy.kept.read_text()) == (new, text)


def forget_the_work(copy: Copy) -> None:
    """Leave the manifest as getlatest wrote it before it noted what of a notebook is work."""
    file = copy.path / ".nbpipe/getlatest.json"
    table = json.loads(file.read_text())
    for entry in table["files"].values():
        entry.pop("substance", None)
        entry.pop("kernel", None)
    file.write_text(json.dumps(table))


def test_a_manifest_that_knows_no_work_learns_it(copy: Copy) -> None:
    forget_the_work(copy)
    copy.run()
    copy.take()
    shutil.rmtree(copy.mirror.path / "releases" / ("a" * 7 + "0" * 33))
    copy.publish("print(2)")
    assert copy.take().executed == [("a/n.ipynb", "a/n__executed.ipynb")]


def test_a_manifest_that_knows_no_work_asks_the_release_it_is_of(copy: Copy) -> None:
    forget_the_work(copy)
    copy.run()
    copy.publish("print(2)")
    assert copy.take().executed == [("a/n.ipynb", "a/n__executed.ipynb")]


def test_where_nobody_knows_what_was_taken_a_run_counts_as_changed(copy: Copy) -> None:
    forget_the_work(copy)
    copy.run()
    copy.publish("print(2)")
    shutil.rmtree(copy.mirror.path / "releases" / ("a" * 7 + "0" * 33))
    assert copy.take().beside == [("a/n.ipynb", "a/n__bbbbbbb.ipynb")]


def test_a_dry_run_says_where_a_run_would_be_kept(copy: Copy) -> None:
    copy.run()
    copy.publish("print(2)")
    assert copy.take(dry_run=True).executed == [("a/n.ipynb", "a/n__executed.ipynb")]
    assert copy.notebooks() == ["n.ipynb"]


def test_a_save_while_the_run_is_kept_is_not_lost(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.run()
    (new,) = copy.publish("print(2)")
    mine = written(notebook("saved just now"))
    bring = Writer._bring

    def save_then_bring(writer: Writer, step: Any) -> str:  # noqa: ANN401  (a Step)
        copy.file.write_text(mine)
        return bring(writer, step)

    monkeypatch.setattr(Writer, "_bring", save_then_bring)
    report = copy.take()
    assert (report.updated, report.beside) == ([], [("a/n.ipynb", "a/n__bbbbbbb.ipynb")])
    assert copy.file.read_text() == mine
    assert (copy.path / "a/n__bbbbbbb.ipynb").read_text() == new


class KilledError(BaseException):
    """Stands for kill -9."""


def killed(*_: object, **__: object) -> None:
    raise KilledError


def test_a_crash_between_keeping_and_updating_keeps_one(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = copy.run()
    copy.publish("print(2)")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_update", killed)
        patch.setattr(Writer, "_remember", announced_only(Writer._remember))
        with pytest.raises(KilledError):
            copy.take()
    assert copy.kept.read_text() == text
    (new,) = copy.publish("print(3)")
    copy.take()
    assert copy.notebooks() == ["n.ipynb", "n__executed.ipynb"]
    assert tree(copy.path)["a/n.ipynb"] == new


def test_several_crashes_in_a_row_keep_one(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    renew = Writer._renew

    def renew_and_die(writer: Writer, step: Any) -> None:  # noqa: ANN401  (a Step)
        renew(writer, step)
        raise KilledError

    def crash(where: type, name: str, dies: Callable[..., None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, dies)
            patch.setattr(Writer, "_remember", announced_only(Writer._remember))
            with pytest.raises(KilledError):
                copy.take()

    copy.run()
    copy.publish("print(2)")
    copy.take()
    second = copy.run()
    copy.publish("print(3)")
    crash(Writer, "_renew", renew_and_die)
    assert copy.kept.read_text() == second
    copy.run()
    copy.publish("print(4)")
    crash(CopyFolder, "save", killed)
    assert copy.kept.read_text() == second
    last = copy.run()
    copy.publish("print(5)")
    copy.take()
    assert copy.notebooks() == ["n.ipynb", "n__executed.ipynb"]
    assert copy.kept.read_text() == last


def test_a_crash_after_keeping_what_was_run_beside_keeps_one(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.file.write_text(written(notebook("mine")))
    copy.publish("print(2)")
    copy.take()
    (beside,) = copy.path.glob("a/n__[!e]*.ipynb")
    beside.write_text(written(executed(json.loads(beside.read_text()))))
    copy.publish("print(3)")
    with monkeypatch.context() as patch:
        patch.setattr(CopyFolder, "give_way", killed)
        patch.setattr(Writer, "_remember", until_kept(copy, Writer._remember))
        with pytest.raises(KilledError):
            copy.take()
    assert copy.kept.is_file()
    beside.unlink()
    (newer,) = copy.path.glob("a/n__[!e]*.ipynb")
    newer.write_text(written(executed(json.loads(newer.read_text()), "2\n")))
    last = newer.read_text()
    copy.publish("print(4)")
    copy.take()
    assert [file.read_text() for file in copy.path.glob("a/n__executed*.ipynb")] == [last]


def until_kept(copy: Copy, remember: Callable[..., None]) -> Callable[..., None]:
    """Return a method that writes the manifest until a run is kept."""

    def writes(writer: Writer, *arguments: object) -> None:
        if not copy.kept.exists():
            remember(writer, *arguments)

    return writes


def announced_only(remember: Callable[..., None]) -> Callable[..., None]:
    """Return a method that writes the manifest the first time only."""
    called: list[bool] = []

    def once(writer: Writer, *arguments: object) -> None:
        if not called:
            called.append(True)
            remember(writer, *arguments)

    return once
