"""A check as a whole: what is silenced, known, repaired; and how findings are written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import nbformat
import pytest
from cells import ERROR, code, notebook, prose, shown, stream
from ondisk import lacking

from nbpipe.config.check import CheckSettings
from nbpipe.errors import UsageError
from nbpipe.lint import baseline, formats, ruff
from nbpipe.lint.checks import Checked, Repairs, check
from nbpipe.lint.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/home/jane/a.fits"


def checked(
    tmp_path: Path,
    *cells: dict[str, Any],
    repairs: Repairs | None = None,
    **settings: Any,  # noqa: ANN401
) -> Checked:
    """Check one notebook; rules are chosen by `select`, else NBP209 alone."""
    file = tmp_path / "a.ipynb"
    if cells:
        file.write_text(json.dumps(notebook(*cells), indent=1), encoding="utf-8")
    settings = {"select": ("NBP209",), "ruff": "off", **settings}
    chosen = msgspec.structs.replace(CheckSettings(), **settings)
    return check([("a.ipynb", file)], chosen, root=tmp_path, repairs=repairs)


def places(result: Checked) -> list[tuple[str, int | None, int]]:
    return [(each.rule, each.cell, each.cell_line) for each in result.findings]


def test_a_comment_silences_its_line(tmp_path: Path) -> None:
    source = f"open('{PATH}')  # nbpipe: ignore[NBP209] an example\nopen('{PATH}')"
    result = checked(tmp_path, code(source))
    assert places(result) == [("NBP209", 0, 2)]
    assert result.suppressed == 1


def test_a_comment_on_a_line_of_its_own_silences_the_cell(tmp_path: Path) -> None:
    silenced = code(f"# nbpipe: ignore[NBP2]\nopen('{PATH}')\nopen('{PATH}')")
    result = checked(tmp_path, silenced, code(f"open('{PATH}')"))
    assert places(result) == [("NBP209", 1, 1)]


def test_a_comment_about_another_rule_silences_nothing(tmp_path: Path) -> None:
    result = checked(tmp_path, code(f"open('{PATH}')  # nbpipe: ignore[NBP405]"))
    assert places(result) == [("NBP209", 0, 1)]


def test_markdown_and_metadata_silence(tmp_path: Path) -> None:
    text = prose("[a](gone.ipynb) <!-- nbpipe: ignore[NBP601] made later -->")
    by_metadata = code(f"open('{PATH}')", metadata={"nbpipe": {"ignore": {"NBP209": "meant"}}})
    result = checked(tmp_path, text, by_metadata, select=("NBP601", "NBP209"))
    assert result.findings == ()
    assert result.suppressed == 2


@pytest.mark.parametrize("rule", ["NBP301", "NBP406"])
def test_a_notebook_cannot_silence_what_its_author_must_not_decide(
    rule: str, tmp_path: Path
) -> None:
    source = (
        "password = 'Tr0ub4dor&3'  # nbpipe: ignore[NBP301]\n!rm -rf ~  # nbpipe: ignore[NBP406]"
    )
    result = checked(tmp_path, code(source), select=(rule,))
    assert [each.rule for each in result.findings] == [rule]
    quiet = checked(tmp_path, select=(rule,), per_file_ignores={"*.ipynb": (rule,)})
    assert quiet.findings == ()


def test_a_longer_id_decides_against_a_shorter_one(tmp_path: Path) -> None:
    cell = code(f"open('{PATH}')\nprint 'x'")
    both = checked(tmp_path, cell, select=("NBP2", "NBP401"), ignore=("NBP209",))
    assert places(both) == [("NBP401", 0, 2)]
    kept = checked(tmp_path, cell, select=("NBP209",), ignore=("NBP2",))
    assert places(kept) == [("NBP209", 0, 1)]


def test_a_rule_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rule NBP999"):
        checked(tmp_path, code("1"), select=("NBP999",))


def test_a_baseline_knows_what_there_was_and_nothing_else(tmp_path: Path) -> None:
    first = checked(tmp_path, code(f"open('{PATH}')", id="a"))
    known = tmp_path / "known.json"
    assert baseline.write(known, first.findings) == 1
    again = checked(
        tmp_path, prose("moved"), code(f"open('{PATH}')", id="a"), baseline="known.json"
    )
    assert (again.findings, again.known) == ((), 1)
    more = checked(
        tmp_path,
        code(f"open('{PATH}')", id="a"),
        code(f"open('{PATH}')", id="b"),
        baseline="known.json",
    )
    assert places(more) == [("NBP209", 1, 1)]


@pytest.mark.parametrize("content", ["", "[]", '{"findings": [{}]}', "{"])
def test_a_baseline_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="is not a baseline"):
        checked(tmp_path, code("1"), baseline="known.json")


NOISE = [
    code("x = 1  ", stream("x"), count=3, metadata={"ExecuteTime": {}}),
    code(" "),
    prose("text", attachments={"a.png": {"image/png": "AA=="}}),
]


def test_repairs_change_what_they_are_about_and_nothing_else(tmp_path: Path) -> None:
    wanted = ("NBP105", "NBP201", "NBP411", "NBP412", "NBP608")
    result = checked(tmp_path, *NOISE, select=wanted, outputs="absent", repairs=Repairs())
    assert result.findings == ()
    assert {each.rule for each in result.fixed} == set(wanted)
    data = json.loads((tmp_path / "a.ipynb").read_bytes())
    assert [cell["source"] for cell in data["cells"]] == ["x = 1", "text"]
    assert data["cells"][0]["outputs"] == []
    assert data["cells"][0]["metadata"] == {}
    assert "attachments" not in data["cells"][1]
    nbformat.validate(nbformat.from_dict(data))


def test_a_difference_is_shown_and_nothing_is_written(tmp_path: Path) -> None:
    before = checked(tmp_path, *NOISE, select=("NBP411",))
    content = (tmp_path / "a.ipynb").read_bytes()
    result = checked(tmp_path, select=("NBP411",), repairs=Repairs(write=False))
    assert (tmp_path / "a.ipynb").read_bytes() == content
    assert result.findings == before.findings
    assert result.changes[0].startswith("--- a/a.ipynb\n+++ b/a.ipynb\n")


def test_what_may_change_a_meaning_is_repaired_only_on_request(tmp_path: Path) -> None:
    cells = [code("%matplotlib notebook", stream("w", "stderr"))]
    select = ("NBP205", "NBP407")
    assert len(checked(tmp_path, *cells, select=select, repairs=Repairs()).findings) == 2
    result = checked(tmp_path, select=select, repairs=Repairs(unsafe=True))
    assert result.findings == ()
    data = json.loads((tmp_path / "a.ipynb").read_bytes())
    assert data["cells"][0]["source"] == "%matplotlib inline"


@pytest.mark.parametrize(
    "form",
    [
        {"indent": 4, "ensure_ascii": True},
        {"indent": 1, "ensure_ascii": False},
        {"indent": "\t", "ensure_ascii": False},
        {"ensure_ascii": False},
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_repair_keeps_how_the_file_is_written(
    form: dict[str, Any], end: str, tmp_path: Path
) -> None:
    data = notebook(code("'é' "), prose("text"))
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(data, **form) + end, encoding="utf-8")
    file.chmod(0o640)
    checked(tmp_path, select=("NBP412",), repairs=Repairs())
    data["cells"][0]["source"] = "'é'"
    assert file.read_text(encoding="utf-8") == json.dumps(data, **form) + end
    assert file.stat().st_mode & 0o777 == 0o640


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    source = ["import os\n", f"open('{PATH}')\n", "x"]
    data = notebook(prose("# A"), code("", stream("x")), shown_cell(source))
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    (found,) = checked(tmp_path).findings
    assert PATH in file.read_text(encoding="utf-8").splitlines()[found.line - 1]


def shown_cell(source: list[str]) -> dict[str, Any]:
    return code("", shown("text/plain", "é" * 50), id="last") | {"source": source}


def test_other_programs_get_all_of_it(tmp_path: Path) -> None:
    result = checked(tmp_path, code("1", ERROR), code(f"open('{PATH}')"), select=("NBP2",))
    data = json.loads(formats.as_json(result))
    assert [(one["rule"], one["cell"]) for one in data["findings"]] == [
        ("NBP204", 0),
        ("NBP209", 1),
    ]
    (run,) = json.loads(formats.as_sarif(result))["runs"]
    assert [one["ruleId"] for one in run["results"]] == ["NBP204", "NBP209"]
    assert all(
        run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"]
        for one in run["results"]
    )
    region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] == data["findings"][1]["line"]
    assert formats.as_github(result).startswith("::error file=a.ipynb,line=")
    issues = json.loads(formats.as_gitlab(result))
    assert [one["severity"] for one in issues] == ["major", "minor"]
    assert len({one["fingerprint"] for one in issues}) == 2


def test_an_annotation_cannot_be_left(tmp_path: Path) -> None:
    data = notebook(prose("[x](a%0Ab.ipynb)"))
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(data), encoding="utf-8")
    lines = formats.as_github(checked(tmp_path, select=("NBP601",))).splitlines()
    assert len(lines) == 1


def test_ruff_looks_at_the_code_and_magics_explain_names(tmp_path: Path) -> None:
    cells = [
        code("import numpy as np\nimport os\n%timeit np.zeros(3)"),
        code("%%capture said\nprint(1)"),
        code("said.show()\nmissing + 1"),
    ]
    if ruff.program(CheckSettings()) is None:
        lacking("ruff")
    select = ("NBP401", "NBP402", "NBP403")
    assert places(checked(tmp_path, *cells, select=select, ruff="on")) == [
        ("NBP403", 0, 2),
        ("NBP402", 2, 2),
    ]
    broken = checked(tmp_path, code("print 'x'; print 'y'"), select=select, ruff="on")
    assert places(broken) == [("NBP401", 0, 1)]


def test_many_are_checked_in_several_processes(tmp_path: Path) -> None:
    files = []
    for number in range(60):
        file = tmp_path / f"{number:02}.ipynb"
        file.write_text(json.dumps(notebook(code(f"open('{PATH}')"))), encoding="utf-8")
        files.append((file.name, file))
    settings = CheckSettings(select=("NBP209",), ruff="off")
    result = check(files, settings, root=tmp_path)
    assert [each.path for each in result.findings] == [name for name, _ in files]


def test_every_rule_can_be_explained() -> None:
    assert all(formats.explanation(rule).startswith(rule.id) for rule in RULES.values())
