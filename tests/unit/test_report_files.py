from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

from nbpipe.config.tables import REPORTS
from nbpipe.errors import UsageError
from nbpipe.model import Run
from nbpipe.reports import (
    KINDS,
    ConsoleReporter,
    Request,
    check,
    check_writable,
    parse,
    reporter,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT = Path("/out")
RUN = Run(
    id="r1",
    started=datetime(2026, 1, 31, 12, tzinfo=UTC),
    seconds=1.0,
    root=Path("/c"),
    output_dir=OUT,
    commit=None,
    host="h",
    version="1",
    python="3.11",
    jobs=1,
    results=(),
    excluded=(),
)


@dataclass(frozen=True)
class Says:
    """A report of one text; `half` is one that breaks off."""

    text: str
    kind: str = "json"

    def report(self, run: Run, stream: TextIO) -> None:  # noqa: ARG002  (the protocol)
        stream.write(self.text)
        if self.text == "half":
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("json", Request("json", Path("/out/report.json"))),
        ("junit", Request("junit", Path("/out/junit.xml"))),
        ("console", Request("console", None)),
        ("json=-", Request("json", None)),
        ("junit=a/b=c.xml", Request("junit", Path("a/b=c.xml"))),
    ],
)
def test_a_report_is_asked_for_by_kind_and_path(text: str, request_: Request) -> None:
    assert parse(text, output_dir=OUT) == request_


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        parse("pdf=x.pdf", output_dir=OUT)
    assert str(caught.value) == (
        "--report pdf=x.pdf: unknown report `pdf`\n"
        "  Choose one of: console, junit, json, html, markdown, github; "
        "for example --report junit=results/junit.xml."
    )


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--report json=: the path is missing"):
        parse("json=", output_dir=OUT)


def test_a_report_that_is_a_folder_fits_into_no_stream() -> None:
    request = parse("html=-", output_dir=OUT)
    with pytest.raises(UsageError, match="--report html=-: it is a folder, which does not fit"):
        check(request, reporter(request.kind))


def test_every_kind_has_its_reporter() -> None:
    console = ConsoleReporter()
    kinds = [reporter(kind, console=console).kind for kind in KINDS]
    assert kinds == list(REPORTS) == ["console", "junit", "json", "html", "markdown", "github"]


def test_folders_on_the_way_to_a_report_are_created(tmp_path: Path) -> None:
    write(Says("é\n"), RUN, tmp_path / "a/b/r.json", stdout=io.StringIO())
    assert (tmp_path / "a/b/r.json").read_bytes() == b"\xc3\xa9\n"
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["r.json"]


def test_a_reporter_that_fails_leaves_the_old_report_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("old")
    with pytest.raises(ZeroDivisionError):
        write(Says("half"), RUN, tmp_path / "r.json", stdout=io.StringIO())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("r.json", "old")]


def test_a_report_that_replaces_another_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("old")
    (tmp_path / "r.json").chmod(0o640)
    write(Says("new"), RUN, tmp_path / "r.json", stdout=io.StringIO())
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o640


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


def test_a_new_report_has_the_permissions_of_the_umask(tmp_path: Path, umask: None) -> None:
    write(Says("new"), RUN, tmp_path / "r.json", stdout=io.StringIO())
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o640


def test_a_symlink_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write(Says("new"), RUN, tmp_path / "link.json", stdout=io.StringIO())
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_a_pipe_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_writable(tmp_path / "pipe")
        write(Says("new"), RUN, tmp_path / "pipe", stdout=io.StringIO())
        assert os.read(reader, 100) == b"new"
    finally:
        os.close(reader)


def test_a_report_that_cannot_be_written_says_where_why_and_what_next(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/r.json"
    with pytest.raises(UsageError) as caught:
        write(Says("x"), RUN, path, stdout=io.StringIO())
    assert str(caught.value) == (
        f"{path}: the report cannot be written: {tmp_path}/file is not a folder\n"
        "  Name another place with --report KIND=PATH."
    )


@pytest.mark.parametrize(
    ("name", "why"), [("folder", "it is a folder"), ("file/x/r.json", "file is not a folder")]
)
def test_a_report_that_could_not_be_written_is_known_before(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=why):
        check_writable(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_known_before(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="no permission to write in"):
            check_writable(tmp_path / "a/r.json")
    finally:
        tmp_path.chmod(0o700)


def test_looking_whether_a_report_can_be_written_changes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a/b/r.json")
    assert list(tmp_path.iterdir()) == []


def test_standard_output_gets_utf8_whatever_the_locale() -> None:
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="ascii")
    stdout.write("before\n")
    write(Says("é\n"), RUN, None, stdout=stdout)
    stdout.write("after\n")
    stdout.flush()
    assert raw.getvalue() == b"before\n\xc3\xa9\nafter\n"
