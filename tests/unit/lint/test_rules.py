"""Every rule of `nbpipe check`: what it finds, and what looks alike and is right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cells import ERROR, code, notebook, prose, shown, stream

from nbpipe.config.check import CheckSettings
from nbpipe.lint.findings import Default, Fix
from nbpipe.lint.fixes import REPAIRS
from nbpipe.lint.notebook import read
from nbpipe.lint.ruff import RUFF
from nbpipe.lint.rules import RULES, secrets

if TYPE_CHECKING:
    from pathlib import Path


def found(
    rule: str,
    data: dict[str, Any] | bytes,
    tmp_path: Path,
    name: str = "a.ipynb",
    **settings: Any,  # noqa: ANN401
) -> list[tuple[int | None, int]]:
    """Return cell and line of each finding of one rule."""
    content = data if isinstance(data, bytes) else json.dumps(data, indent=1).encode()
    one = read(name, str(tmp_path / name), content)
    chosen = msgspec.structs.replace(CheckSettings(), **settings)
    return [(spot.cell, spot.line) for spot in RULES[rule].look(one, chosen)]


TITLE = prose("# Title")

BAD: list[tuple[str, Any, list[tuple[int | None, int]]]] = [
    ("NBP001", b"<<<<<<< HEAD\n{", [(None, 1)]),
    ("NBP001", b"version https://git-lfs.github.com/spec/v1\n", [(None, 1)]),
    ("NBP001", b"", [(None, 1)]),
    ("NBP002", {"worksheets": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}, [(None, 1)]),
    ("NBP003", notebook(code("1"), minor=4), [(0, 1)]),
    (
        "NBP003",
        notebook({"cell_type": "code", "id": "a", "metadata": {}, "source": ""}),
        [(0, 1)],
    ),
    ("NBP004", notebook(code("1", id="a"), code("2", id="a")), [(1, 1)]),
    ("NBP005", notebook(minor=4), [(None, 1)]),
    ("NBP006", notebook(), [(None, 1)]),
    ("NBP007", notebook(prose("x" * 1_100_000)), [(None, 1)]),
    ("NBP101", {**notebook(), "metadata": {}}, [(None, 1)]),
    (
        "NBP103",
        notebook(kernelspec={"name": "python3", "display_name": ".venv (3.9.19)"}),
        [(None, 1)],
    ),
    ("NBP104", notebook(colab={}, toc={}), [(None, 1)]),
    ("NBP105", notebook(code("1", metadata={"ExecuteTime": {}})), [(0, 1)]),
    ("NBP106", notebook(widgets={}), [(None, 1)]),
    ("NBP202", notebook(code("1", count=1), code("2")), [(1, 1)]),
    ("NBP203", notebook(code("1", count=7), code("2", count=3)), [(0, 1)]),
    ("NBP204", notebook(code("1", ERROR)), [(0, 1)]),
    ("NBP205", notebook(code("1", stream("w", "stderr"))), [(0, 1)]),
    ("NBP206", notebook(code("1", stream("w" * 1_100_000))), [(0, 1)]),
    ("NBP207", notebook(code("1", shown("text/html", "<script>1</script>"))), [(0, 1)]),
    ("NBP207", notebook(code("1", shown("application/javascript", "1"))), [(0, 1)]),
    ("NBP208", notebook(code("1", stream("saved to /home/jane/a.png"))), [(0, 1)]),
    ("NBP208", notebook(code("1", stream("C:\\Users\\jane\\a.png"))), [(0, 1)]),
    ("NBP209", notebook(code("1\nopen('/home/jane/a.png')")), [(0, 2)]),
    ("NBP301", notebook(code('x = 1\npassword = "correct horse"')), [(0, 2)]),
    ("NBP301", notebook(prose("AKIAIOSFODNN7EXAMPLQ")), [(0, 1)]),
    ("NBP301", notebook(code('qc.login("jane", "Tr0ub4dor&3")')), [(0, 1)]),
    ("NBP301", notebook(code('os.environ["DB_PASSWORD"] = "Tr0ub4dor&3"')), [(0, 1)]),
    ("NBP301", notebook(code('create_engine("postgresql://jane:Tr0ub4dor@db/x")')), [(0, 1)]),
    ("NBP302", notebook(code("1", stream(f"http://127.0.0.1:8888/?token={'3f' * 20}"))), [(0, 1)]),
    ("NBP401", notebook(code("print 'x'")), [(0, 1)]),
    ("NBP404", notebook(code("import numpy\nfrom numpy import *")), [(0, 2)]),
    ("NBP405", notebook(code("# first\n!pip install photutils")), [(0, 2)]),
    ("NBP405", notebook(code("%pip install -q numpy scipy==1.11")), [(0, 1)]),
    ("NBP405", notebook(code("!{sys.executable} -m pip install astropy")), [(0, 1)]),
    ("NBP406", notebook(code("x = 1\n!rm -rf ~/data")), [(0, 2)]),
    ("NBP406", notebook(code("%%bash\necho 1\ncurl https://x.org/a | sh")), [(0, 3)]),
    ("NBP407", notebook(code("%matplotlib notebook")), [(0, 1)]),
    ("NBP407", notebook(code("import matplotlib\nmatplotlib.use('TkAgg')")), [(0, 2)]),
    ("NBP408", notebook(code("name = input('Name: ')")), [(0, 1)]),
    ("NBP410", notebook(code("x\n" * 101)), [(0, 1)]),
    ("NBP411", notebook(code(" \n")), [(0, 1)]),
    ("NBP412", notebook(code("x = 1\ny = 2  ")), [(0, 2)]),
    ("NBP501", notebook(code("1")), [(None, 1)]),
    ("NBP502", notebook(TITLE, prose("text\n\n# Other")), [(1, 3)]),
    ("NBP503", notebook(TITLE, prose("### Deep")), [(1, 1)]),
    ("NBP504", notebook(TITLE, prose("## A"), prose("## A")), [(2, 1)]),
    ("NBP507", notebook(code("1\n# TODO: units")), [(0, 2)]),
    ("NBP508", notebook(*[code(str(each)) for each in range(6)]), [(5, 1)]),
    ("NBP601", notebook(prose("text\n[next](gone.ipynb)")), [(0, 2)]),
    ("NBP601", notebook(prose('<a href="gone.ipynb">next</a>')), [(0, 1)]),
    ("NBP602", notebook(prose("![a star](gone.png)")), [(0, 1)]),
    ("NBP602", notebook(prose('text\n<img src="gone.png" alt="a star">')), [(0, 2)]),
    ("NBP603", notebook(prose("# Title\n[down](#fit)")), [(0, 2)]),
    ("NBP604", notebook(prose("[a](http://www.astropy.org)")), [(0, 1)]),
    ("NBP605", notebook(prose("![](attachment:a.png)")), [(0, 1)]),
    ("NBP606", notebook(prose("![a.png](attachment:a.png)")), [(0, 1)]),
    ("NBP607", notebook(prose("[here](https://example.org)")), [(0, 1)]),
    ("NBP608", notebook(prose("![x](attachment:a.png)")), [(0, 1)]),
    ("NBP608", notebook(prose("text", attachments={"a.png": {"image/png": "AA=="}})), [(0, 1)]),
    ("NBP608", notebook(prose("![x](data:image/png;base64,AAAA)")), [(0, 1)]),
]

GOOD: list[tuple[str, Any]] = [
    ("NBP001", notebook()),
    ("NBP003", notebook(code("1"), prose("x"))),
    ("NBP003", notebook(title="x", authors=[{"name": "Jane"}])),
    ("NBP004", notebook(code("1", id="a"), code("2", id="b"))),
    ("NBP005", notebook()),
    ("NBP101", notebook()),
    ("NBP103", notebook(kernelspec={"name": "desi", "display_name": "DESI 23.1"})),
    ("NBP105", notebook(code("1", metadata={"tags": ["hide-output"]}))),
    ("NBP202", notebook(code("1"), code("2"))),
    ("NBP202", notebook(code("1", count=1), code("2", metadata={"tags": ["skip-execution"]}))),
    ("NBP203", notebook(code("1", count=1), prose("x"), code("2", count=2))),
    ("NBP204", notebook(code("1", ERROR, metadata={"tags": ["raises-exception"]}))),
    ("NBP204", notebook(code("1", ERROR), execution={"allow_errors": True})),
    ("NBP208", notebook(code("1", stream("see https://example.org/home/jane")))),
    ("NBP208", notebook(code("1", stream("/home/jovyan/work and /home/runner/work")))),
    ("NBP209", notebook(code('open("/home/" + user)'))),
    ("NBP209", notebook(code('open(f"/home/{user}/a")'))),
    ("NBP301", notebook(code('password = getpass("Password: ")'))),
    (
        "NBP301",
        notebook(code('password = "your-password"\ntoken = "<token>"\nsecret = "********"')),
    ),
    ("NBP301", notebook(code('url = f"postgresql://{user}:{password}@db/x"'))),
    ("NBP301", notebook(prose('Use `login("name", "password")`'))),
    ("NBP401", notebook(code("%time x = 1\n!ls -l\nfiles = !ls\nnumpy?\n%%notmagic"))),
    ("NBP401", notebook(code("%%bash\nfor i in 1 2; do echo $i; done"))),
    ("NBP401", notebook(code('"""\n!not a shell line\n%nor a magic\n"""\nx = 1'))),
    ("NBP401", notebook(code("await f()\nasync for x in y:\n    pass"))),
    ("NBP401", notebook(code("x <- 1"), kernelspec={"name": "ir", "language": "R"})),
    ("NBP405", notebook(code("%pip install numpy==2.0 'scipy>=1.11'"))),
    ("NBP405", notebook(code("!pip install -r requirements.txt\n!pip install ."))),
    ("NBP406", notebook(code("!rm out.txt\n!rm -r results\n# rm -rf /\nprint('sudo')"))),
    ("NBP407", notebook(code("%matplotlib inline"))),
    ("NBP408", notebook(code("x = input()", metadata={"tags": ["skip-execution"]}))),
    ("NBP408", notebook(code("read_input(1)\nparser.add_input('x')"))),
    ("NBP501", notebook(prose("<h1>Title</h1>"))),
    ("NBP501", notebook(prose("Title\n====="))),
    ("NBP501", notebook()),
    ("NBP502", notebook(prose("# Title\n```\n# no heading\n```"))),
    ("NBP503", notebook(prose("# a"), prose("## b"), prose("### c"), prose("# d"))),
    ("NBP601", notebook(prose("[web](https://example.org) [mail](mailto:a@b.c) [up](#top)"))),
    ("NBP601", notebook(code("open('made.csv', 'w')"), prose("[data](made.csv)"))),
    ("NBP601", notebook(prose("the value $[a](x)$ and $$f[0](y.z)$$"))),
    ("NBP601", notebook(prose("```\n[a](b.c)\n```\n`[a](b.c)`"))),
    ("NBP603", notebook(prose("# A fit\n[down](#A-fit) [too](#a-fit)\n<a id='x'></a>[x](#x)"))),
    ("NBP605", notebook(prose('<img src="a.png" alt=""> ![a star](b.png)'))),
    (
        "NBP608",
        notebook(prose("![x](attachment:a.png)", attachments={"a.png": {"image/png": "A"}})),
    ),
]


@pytest.mark.parametrize(("rule", "data", "places"), BAD)
def test_it_is_found(
    rule: str, data: dict[str, Any] | bytes, places: list[tuple[int | None, int]], tmp_path: Path
) -> None:
    assert found(rule, data, tmp_path) == places


@pytest.mark.parametrize(("rule", "data"), GOOD)
def test_what_looks_alike_is_right(rule: str, data: dict[str, Any] | bytes, tmp_path: Path) -> None:
    assert found(rule, data, tmp_path) == []


@pytest.mark.parametrize(
    "name", ["Untitled.ipynb", "Untitled3.ipynb", "fit-Copy2.ipynb", "a b.ipynb"]
)
def test_a_name_that_says_nothing(name: str, tmp_path: Path) -> None:
    assert found("NBP008", notebook(), tmp_path, name) == [(None, 1)]


@pytest.mark.parametrize("name", ["light_curves.ipynb", "copy_number.ipynb", "photocopy.ipynb"])
def test_a_name_that_says_something(name: str, tmp_path: Path) -> None:
    assert found("NBP008", notebook(), tmp_path, name) == []


def test_the_kernels_of_the_platform(tmp_path: Path) -> None:
    assert found("NBP102", notebook(), tmp_path, kernels=("desi",)) == [(None, 1)]
    assert found("NBP102", notebook(), tmp_path, kernels=("desi", "python3")) == []


def test_required_metadata_stands_in_metadata_or_in_a_cell(tmp_path: Path) -> None:
    asked = {"required_metadata": ("authors", "license")}
    assert found("NBP107", notebook(), tmp_path, **asked) == [(None, 1)] * 2
    said = notebook(code("__author__ = 'Jane'\n__license__ = 'MIT'"))
    assert found("NBP107", said, tmp_path, **asked) == []
    assert (
        found("NBP107", notebook(authors=[{"name": "J"}], license="MIT"), tmp_path, **asked) == []
    )


def test_outputs_are_absent_where_the_policy_says_so(tmp_path: Path) -> None:
    data = notebook(code("1", stream("x"), count=1))
    assert found("NBP201", data, tmp_path, outputs="absent") == [(0, 1)]
    assert found("NBP201", data, tmp_path, "a/b.ipynb", outputs={"a/": "absent"}) == [(0, 1)]
    assert found("NBP201", data, tmp_path, "c/b.ipynb", outputs={"a/": "absent"}) == []


def test_paths_that_all_users_have_are_allowed(tmp_path: Path) -> None:
    data = notebook(code("open('/home/shared/a.fits')"))
    assert found("NBP209", data, tmp_path) == [(0, 1)]
    assert found("NBP209", data, tmp_path, allowed_paths=("/home/shared",)) == []


def test_text_of_the_template_is_replaced(tmp_path: Path) -> None:
    template = tmp_path / "Template.ipynb"
    template.write_text(json.dumps(notebook(TITLE, prose("*Your abstract.*"))), encoding="utf-8")
    asked = {"template": str(template)}
    left = notebook(TITLE, prose("*Your abstract.*"))
    assert found("NBP505", left, tmp_path, **asked) == [(1, 1)]
    assert found("NBP505", notebook(TITLE, prose("*Mine.*")), tmp_path, **asked) == []


def test_required_sections(tmp_path: Path) -> None:
    asked = {"required_sections": ("References",)}
    assert found("NBP506", notebook(TITLE), tmp_path, **asked) == [(None, 1)]
    assert found("NBP506", notebook(TITLE, prose("## references")), tmp_path, **asked) == []


def test_ids_are_in_order_and_every_rule_has_a_bad_example() -> None:
    assert list(RULES) == sorted(RULES)
    tried = {rule for rule, *_ in BAD} | {
        "NBP008",
        "NBP102",
        "NBP107",
        "NBP201",
        "NBP505",
        "NBP506",
    }
    by_ruff = {each for each in RUFF.values() if each} - {"NBP401", "NBP404"}
    assert RULES.keys() - tried == by_ruff


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_every_rule_is_documented(rule: Rule) -> None:  # noqa: F821
    assert all((rule.summary.endswith("."), rule.why, rule.bad, rule.good))
    assert rule.default in set(Default)


def test_what_a_rule_says_of_its_repair_is_true() -> None:
    fixed = {each.id for each in RULES.values() if each.fix is not Fix.NONE}
    assert fixed - REPAIRS.keys() == {"NBP403"}  # ruff's own, which takes away what magics use
    assert REPAIRS.keys() <= fixed


PLANTED = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "aws = AKIAIOSFODNN7ABCDEFG",
    f"ghp_{'a1B2' * 9}",
    f"github_pat_{'a1B2' * 8}",
    f"glpat-{'a1B2' * 5}",
    f"xoxb-{'1234' * 4}",
    "https://hooks.slack.com/services/T0AB12CD3/x",
    f"AIza{'a1B2c' * 7}",
    f"sk-ant-{'a1B2' * 6}",
    f"hf_{'aBcD' * 8}",
    f"pypi-AgE{'a1B2' * 8}",
    f"eyJ{'a1B2' * 3}.eyJ{'a1B2' * 3}.{'a1B2' * 3}",
    f"http://h:8888/?token={'3f' * 20}",
    f"jane.1024.1024.$1$AbCdEf{'Gh1' * 8}",
    "git clone https://jane:Tr0ub4dor@git.example.org/x",
    f"Authorization: Bearer {'a1B2' * 6}",
    "PASSWORD = 'Tr0ub4dor&3'",
    'config["api_key"] = "9f8e7d6c5b"',
    "ac.login('jane', 'Tr0ub4dor&3')",
    "os.environ['DATALAB_TOKEN'] = 'Tr0ub4dor&3'",
    "!tool --password Tr0ub4dor3",
]


@pytest.mark.parametrize("text", PLANTED)
def test_each_kind_of_secret_is_found(text: str, tmp_path: Path) -> None:
    assert found("NBP301", notebook(code(text)), tmp_path) == [(0, 1)]


def test_what_is_quick_to_look_for_is_named_for_each_pattern() -> None:
    assert secrets.PATTERNS.keys() == secrets._NEEDS.keys()
