"""What a change affects, decided from values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pasts import trace

from nbpipe.impact.affected import Difference, Known, Present, affected
from nbpipe.model import CHANGED

NOTHING = Difference(
    rev="main",
    changed=frozenset(),
    names=frozenset(),
    untracked=frozenset(),
    tracked=frozenset({"a.ipynb", "d.csv", "lib/m.py"}),
)
PRESENT = Present(place="a.ipynb", kernel="python3", settings="x", environment={"python": "3.11"})
IDS = {"a.ipynb": "s", "d.csv": "1", "lib/m.py": "2", "data/": "3"}


def known(**fields: object) -> Known:
    return Known(outcome="passed", outcome_run="r1", run="r1", trace=trace(**fields))


def changed(*paths: str, names: bool = False) -> Difference:
    """Return a difference in which these files changed, or came or went."""
    found = frozenset(paths)
    return replace(NOTHING, changed=found, names=found if names else frozenset())


def why(
    past: Known,
    difference: Difference = NOTHING,
    present: Present = PRESENT,
    **ids: str,
) -> str | None:
    """Return why the one notebook runs."""
    now = {**IDS, **{name.replace("_", "."): each for name, each in ids.items()}}
    now = dict.fromkeys(past.trace.inputs if past.trace else (), "") | now
    return affected({"a.ipynb": present}, {"a.ipynb": past}, difference, now).get("a.ipynb")


def test_a_notebook_of_which_nothing_changed_does_not_run() -> None:
    assert why(known(inputs={"d.csv": "1"}, environment={"python": "3.11"})) is None


def test_a_notebook_that_was_never_run_runs() -> None:
    assert why(Known()) == "it was never run"


@pytest.mark.parametrize("outcome", ["failed", "flaky"])
def test_a_notebook_that_did_not_pass_runs(outcome: str) -> None:
    past = replace(known(), outcome=outcome, outcome_run="r2")
    assert why(past) == f"{outcome} in run r2"


def test_a_notebook_that_was_never_traced_runs() -> None:
    past = Known(outcome="passed", outcome_run="r1")
    assert why(past) == "what it reads is not known yet: it was never traced"


def test_a_notebook_that_starts_programs_runs() -> None:
    past = known(unknown="it starts another program (ls)")
    assert why(past) == "what it reads is not known: it starts another program (ls)"


def test_a_notebook_that_changed_itself_runs() -> None:
    assert why(known(), changed("a.ipynb")) == "itself changed since main"
    assert why(known(), a_ipynb="t") == "itself changed since run r1"


def test_another_kernel_is_a_change() -> None:
    assert why(known(kernel="old")) == "its kernel is python3, and was old"


def test_other_settings_are_a_change() -> None:
    assert why(known(settings="y")) == "its settings or its kernel's changed since run r1"


@pytest.mark.parametrize(
    ("difference", "now", "reason"),
    [
        (changed("d.csv"), "1", "d.csv changed since main"),
        (NOTHING, "9", "d.csv changed since run r1"),
        (changed("d.csv", names=True), "", "d.csv went since run r1"),
        (changed("e.csv"), "1", None),
    ],
)
def test_an_input_that_changed_is_a_change(
    difference: Difference, now: str, reason: str | None
) -> None:
    assert why(known(inputs={"d.csv": "1"}), difference, d_csv=now) == reason


def test_a_file_that_was_missed_and_now_is_there_is_a_change() -> None:
    assert why(known(inputs={"d.csv": ""})) == "d.csv came since run r1"


def test_a_file_that_was_written_meanwhile_is_never_trusted() -> None:
    past = known(inputs={"d.csv": CHANGED})
    assert why(past) == "d.csv was written while it ran, in run r1"


def test_a_link_on_the_way_to_an_input_counts() -> None:
    past = known(inputs={"link/d.csv": "1"})
    ids = {**IDS, "link/d.csv": "1"}
    found = affected({"a.ipynb": PRESENT}, {"a.ipynb": past}, changed("link"), ids)
    assert found == {"a.ipynb": "link/d.csv changed since main"}


@pytest.mark.parametrize(
    ("path", "names", "runs"),
    [
        ("data/new.csv", True, True),
        ("data/old.csv", False, False),
        ("data/below/new.csv", True, False),
        ("other/new.csv", True, False),
    ],
)
def test_of_a_folder_that_was_listed_the_names_count(
    path: str,
    names: bool,  # noqa: FBT001
    runs: bool,  # noqa: FBT001
) -> None:
    past = known(inputs={"data/": "3"})
    assert (why(past, changed(path, names=names)) is not None) is runs


def test_files_that_a_library_may_have_read_count_by_their_ending() -> None:
    past = known(inputs={"//.h5": "4"})
    ids = {**IDS, "//.h5": "4"}
    for path, reason in [
        ("x/y.h5", {"a.ipynb": "some file *.h5 changed since main"}),
        ("y.csv", {}),
    ]:
        assert affected({"a.ipynb": PRESENT}, {"a.ipynb": past}, changed(path), ids) == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nb/helper.py", "module nb/helper came or went since main"),
        ("nb/json.py", "module nb/json came or went since main"),
        ("nb/helper.txt", None),
        ("other/helper.py", None),
        ("nb/unused.py", None),
        ("lib/pkg/fast.so", "module lib/pkg/fast came or went since main"),
    ],
)
def test_a_module_that_comes_where_one_was_looked_for_is_a_change(
    path: str, reason: str | None
) -> None:
    past = known(modules=("helper",), folders=("nb",), places=("lib/pkg/fast",))
    assert why(past, changed(path, names=True)) == reason


def test_a_module_that_came_since_the_run_is_a_change() -> None:
    present = replace(PRESENT, found=("nb/helper",))
    reason = "module nb/helper came or went since run r1"
    assert why(known(modules=("helper",), folders=("nb",)), present=present) == reason


def test_another_version_of_a_package_is_a_change() -> None:
    past = known(environment={"python": "3.11", "numpy": "2.0"})
    present = replace(PRESENT, environment={"python": "3.11", "numpy": "2.1", "other": "1"})
    assert why(past, present=present) == "numpy is 2.1, and was 2.0 in run r1"
    assert why(past) == "numpy is not installed, and was 2.0 in run r1"


def test_packages_that_nobody_can_look_at_are_a_change() -> None:
    past = known(environment={"python": "3.11"})
    present = replace(PRESENT, environment=None)
    assert why(past, present=present) == "the packages of kernel python3 are not known"


def chain(difference: Difference, *, product: str = "1", untracked: bool = True) -> dict[str, str]:
    """Return what runs of raw.csv -> make -> p.csv -> use -> q.csv -> last."""
    past = {
        "make": known(source="m", inputs={"raw.csv": "1"}, outputs=("p.csv",)),
        "use": known(source="u", inputs={"p.csv": "1"}, outputs=("q.csv",)),
        "last": known(source="l", inputs={"q.csv": "1"}),
        "other": known(source="o", inputs={"z.csv": "1"}),
    }
    notebooks = {name: replace(PRESENT, place=name) for name in past}
    ids = {"make": "m", "use": "u", "last": "l", "other": "o"}
    ids |= {"raw.csv": "1", "p.csv": product, "q.csv": product, "z.csv": "1"}
    tracked = frozenset({"raw.csv"} if untracked else {"raw.csv", "p.csv", "q.csv"})
    return affected(notebooks, past, replace(difference, tracked=tracked), ids)


def test_who_reads_what_a_chosen_one_writes_is_chosen_too() -> None:
    assert chain(changed("raw.csv")) == {
        "make": "raw.csv changed since main",
        "use": "it reads p.csv, which make writes, and that runs",
        "last": "it reads q.csv, which use writes, and that runs",
    }


def test_who_only_reads_does_not_choose_who_writes() -> None:
    assert list(chain(changed("last"))) == ["last"]


def test_who_writes_what_a_chosen_one_misses_is_chosen_too() -> None:
    assert chain(changed("last"), product="") == {
        "last": "itself changed since main",
        "use": "it writes q.csv, which last needs and which is missing",
        "make": "it writes p.csv, which use needs and which is missing",
    }


def test_a_product_that_is_not_there_changes_nothing_by_itself() -> None:
    assert chain(NOTHING, product="") == {}


def test_a_product_that_git_keeps_and_that_is_gone_is_a_change() -> None:
    found = chain(changed("p.csv", "q.csv", names=True), product="", untracked=False)
    assert found["use"] == "p.csv went since run r1"


def test_a_product_that_is_new_for_git_is_no_change() -> None:
    new = replace(changed("p.csv", names=True), untracked=frozenset({"p.csv"}))
    assert chain(new) == {}


def test_what_a_changed_notebook_seems_to_write_counts_as_written() -> None:
    past = {"a.ipynb": known(), "b.ipynb": known(source="b", inputs={"d.csv": "1"})}
    notebooks = {
        "a.ipynb": replace(PRESENT, writes=frozenset({"d.csv"})),
        "b.ipynb": replace(PRESENT, place="b.ipynb"),
    }
    found = affected(notebooks, past, changed("a.ipynb"), {**IDS, "b.ipynb": "b"})
    assert found["b.ipynb"] == "it reads d.csv, which a.ipynb writes, and that runs"


def reader(read: str) -> Known:
    return known(inputs={read: "1"})


@pytest.mark.parametrize(
    ("read", "written", "there", "reason"),
    [
        ("//.h5", "log.txt", True, None),
        ("//.h5", "p.h5", True, "it may read p.h5, which b.ipynb writes, and that runs"),
        ("//files", "log.txt", True, None),
        ("//files", "p.h5", False, "it may look for p.h5, which b.ipynb writes, and that runs"),
        ("//files", "p.ipynb", False, None),
        ("//files/data", "p.h5", False, None),
        ("//files/data", "data/2025/p.h5", False, "it may look for data/2025/p.h5, which b.ipynb"),
        ("//files/", "data/p.h5", False, None),
        ("//files/", "p.h5", False, "it may look for p.h5, which b.ipynb writes, and that runs"),
        (
            "//files/data",
            "data/p.h5",
            False,
            "it may look for data/p.h5, which b.ipynb writes, and",
        ),
        (
            "data/",
            "data/p.h5",
            True,
            "it lists data/, a folder of files, which b.ipynb writes, and",
        ),
        ("data/", "p.h5", True, None),
    ],
)
def test_who_writes_is_tied_only_to_who_may_read_that(
    read: str,
    written: str,
    there: bool,  # noqa: FBT001
    reason: str | None,
) -> None:
    notebooks = {"a.ipynb": PRESENT, "b.ipynb": replace(PRESENT, place="b.ipynb")}
    past = {"a.ipynb": reader(read), "b.ipynb": known(source="b", outputs=(written,))}
    ids = {"a.ipynb": "s", "b.ipynb": "b", read: "1", written: "5" if there else ""}
    found = affected(notebooks, past, changed("b.ipynb"), ids)
    assert "b.ipynb" in found
    assert (found.get("a.ipynb") or "").startswith(reason or "")
    assert ("a.ipynb" in found) is (reason is not None)


@pytest.mark.parametrize(
    ("paths", "runs"),
    [(("data/new.bin",), True), (("nb/new.ipynb",), False), (("lib/new.py",), False)],
)
def test_a_file_that_compiled_code_may_have_missed_is_a_change(
    paths: tuple[str, ...],
    runs: bool,  # noqa: FBT001
) -> None:
    for read in ("//files", "//files/data"):
        past = known(inputs={read: "1"})
        found = why(past, changed(*paths, names=True), **{read: "1"})
        assert (found is not None) is runs
    assert why(past, changed("other/x.bin", names=True), **{"//files/data": "1"}) is None


@pytest.mark.parametrize(
    ("before", "now", "seconds", "runs"),
    [
        ({"cell_seconds": 600.0}, {"cell_seconds": 700.0}, 5.0, False),
        ({"cell_seconds": 600.0}, {"cell_seconds": None}, 5.0, False),
        ({"cell_seconds": 600.0}, {"cell_seconds": 60.0}, 5.0, False),
        ({"cell_seconds": 600.0}, {"cell_seconds": 4.0}, 5.0, True),
        ({"cell_seconds": 600.0}, {"cell_seconds": 60.0}, None, True),
        ({"notebook_seconds": None}, {"notebook_seconds": 4.0}, 5.0, True),
        ({"cell_seconds": 4.0}, {"cell_seconds": 4.0}, 5.0, False),
        ({"output_bytes": 10.0}, {"output_bytes": 9.0}, 5.0, True),
        ({"output_bytes": 10.0}, {"output_bytes": 11.0}, 5.0, False),
    ],
)
def test_only_a_limit_that_may_be_too_low_now_is_a_change(
    before: dict[str, float | None],
    now: dict[str, float | None],
    seconds: float | None,
    runs: bool,  # noqa: FBT001
) -> None:
    past = replace(known(limits=before), seconds=seconds)
    assert (why(past, present=replace(PRESENT, limits=now)) is not None) is runs
