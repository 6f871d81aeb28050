from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection

PROGRAM = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"


def test_a_run_tells_what_it_changed_and_nothing_where_nothing_did(
    collection: Collection, tmp_path: Path
) -> None:
    sink = tmp_path / "sink"
    command = json.dumps([sys.executable, "-c", PROGRAM, str(sink)])
    (collection.root / "nbpipe.toml").write_text(f"[notify]\ncommand = {command}\n")
    collection.environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    for source in ("1/0", "1/0", "1", "1"):
        collection.notebook("a.ipynb", source)
        assert "warning" not in collection.test("--no-fork").err
    told = [json.loads(line) for line in sink.read_text().splitlines()]
    assert [each["subject"] for each in told] == ["nbpipe: 1 newly failing", "nbpipe: 1 recovered"]


def test_a_message_that_is_not_taken_is_a_warning_and_changes_no_exit_code(
    collection: Collection, tmp_path: Path
) -> None:
    (collection.root / "nbpipe.toml").write_text('[notify]\ncommand = ["/no/such/program"]\n')
    collection.environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    collection.notebook("a.ipynb", "1/0")
    ended = collection.test("--no-fork")
    assert ended.code == 1
    assert "warning: not sent: command: /no/such/program: No such file or directory" in ended.err
    collection.notebook("a.ipynb", "1")
    assert collection.test("--no-fork").code == 0
