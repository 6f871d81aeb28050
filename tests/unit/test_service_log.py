"""A service's log is one printable line per record, whatever somebody else wrote into it."""

from __future__ import annotations

import logging
import sys

from nbpipe.system.logs import OneLine

FORM = "%(asctime)s %(levelname)s %(message)s"


def logged(message: str, *arguments: object, failed: bool = False) -> list[str]:
    info = sys.exc_info() if failed else None
    record = logging.LogRecord("x", logging.INFO, __file__, 1, message, arguments, info)
    return OneLine(FORM).format(record).splitlines()


def test_a_message_with_newlines_and_escapes_is_one_printable_line() -> None:
    lines = logged("said %s", "a\n2026-01-01 INFO published\r\x1b[2J\u2028\x85\tb")

    assert len(lines) == 1
    assert lines[0].isprintable()
    assert "INFO said a 2026-01-01 INFO published" in lines[0]


def test_a_traceback_stands_indented_below_its_record() -> None:
    try:
        raise ValueError("bad\n2026-01-01 INFO published\x1b[31m")  # noqa: TRY301
    except ValueError:
        first, *rest = logged("failed", failed=True)

    assert first.endswith("INFO failed")
    assert rest[-1] == "    2026-01-01 INFO published"
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)
