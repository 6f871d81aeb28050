"""What a text says about files that compiled code opens, or does without."""

from __future__ import annotations

import pytest

from nbpipe.impact import mentions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import pandas as pd", ""),
        ("import pyarrow as pa", "pyarrow"),
        ("context.load_cert_chain(name)", "load_cert_chain"),
        ("requests.get(url, verify=name + '.pem')", "verify="),
        ("requests.get(url, verify=False)", ""),
        ("verify == 3", ""),
        ("con.execute('ATTACH DATABASE ? AS other', [name])", "ATTACH"),
        ("con.execute(f\"attach '{name}' as other\")", "attach"),
        ("please attach a file", ""),
    ],
)
def test_what_is_opened_by_compiled_code_that_is_vouched_for(text: str, found: str) -> None:
    assert mentions.opens_compiled(text) == found


@pytest.mark.parametrize(
    ("text", "survives"),
    [
        ("x = read(a + b)\nprint(x)", False),
        ("try:\n    read(x)\nexcept OSError:\n    pass", True),
        ("x = read(a) if a else 0", True),
        ("# NBVAL_RAISES_EXCEPTION\nread(a)", True),
        ("notify(x)", False),
    ],
)
def test_whether_code_does_without_a_file(text: str, survives: bool) -> None:  # noqa: FBT001
    assert mentions.survives_a_miss(text) is survives
