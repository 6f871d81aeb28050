"""Reading the head of a notebook: fast where it is well, tolerant where it is not."""

from __future__ import annotations

import json

import pytest

from nbpipe.collecting.heads import parse_notebook
from nbpipe.model import Category

METADATA = {"kernelspec": {"name": "ir"}, "tags": ["slow"]}


def document(**fields: object) -> bytes:
    return json.dumps({"cells": [], "metadata": METADATA, **fields}).encode()


def test_the_known_metadata_is_read() -> None:
    content = document(metadata={**METADATA, "widgets": {"state": {}}, "language_info": None})
    assert parse_notebook(content).metadata == METADATA


def test_outputs_are_not_looked_at() -> None:
    cells = [{"cell_type": "code", "outputs": [{"data": "x" * 1000}]}]
    assert parse_notebook(document(cells=cells)).metadata == METADATA


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + document(),
        b'{"cells": [{"outputs": [NaN, Infinity]}], "metadata": %s}'
        % json.dumps(METADATA).encode(),
        b'{"cells": ["\\ud800"], "metadata": %s}' % json.dumps(METADATA).encode(),
        b'{"metadata": [], "cells": [], "metadata": %s}' % json.dumps(METADATA).encode(),
        document(cells=None, worksheets=[{"cells": []}], nbformat=3),
        b"\r\n  " + document() + b"\r\n",
    ],
    ids=["bom", "nan", "lone surrogate", "key twice", "nbformat 3", "white space"],
)
def test_what_python_accepts_is_accepted(content: bytes) -> None:
    head = parse_notebook(content)
    assert head.failure is None
    assert head.metadata == METADATA


@pytest.mark.parametrize("metadata", [[], None, "text", 3])
def test_metadata_of_a_wrong_type_counts_as_none(metadata: object) -> None:
    head = parse_notebook(document(metadata=metadata))
    assert head.failure is None
    assert head.metadata == {}


@pytest.mark.parametrize(
    ("content", "name", "message", "signature"),
    [
        (b"", "EmptyFile", "the file is empty", "EmptyFile"),
        (b" \n", "EmptyFile", "the file is empty", "EmptyFile"),
        (
            b"{]",
            "JSONDecodeError",
            (
                "the file is not JSON: Expecting property name enclosed in double quotes: "
                "line 1 column 2 (char 1)"
            ),
            "JSONDecodeError",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "JSONDecodeError",
            "the file is not JSON: it is a Git LFS pointer; run `git lfs pull`",
            "JSONDecodeError: Git LFS pointer",
        ),
        (
            b"{\n<<<<<<< HEAD\n}",
            "JSONDecodeError",
            (
                "the file is not JSON: it holds the marks of a merge conflict (Expecting property "
                "name enclosed in double quotes: line 2 column 1 (char 2))"
            ),
            "JSONDecodeError: merge conflict",
        ),
        (
            b'{"cells": ["\xff"]}',
            "UnicodeDecodeError",
            (
                "the file is not UTF-8 text: 'utf-8' codec can't decode byte 0xff in position 12: "
                "invalid start byte"
            ),
            "UnicodeDecodeError: not UTF-8",
        ),
        (
            b"[1]",
            "NotANotebook",
            "the file is not a notebook: its JSON is a list, not an object",
            "NotANotebook: its JSON is a list, not an object",
        ),
        (
            b'{"cells": {}}',
            "NotANotebook",
            "the file is not a notebook: it holds no cells",
            "NotANotebook: it holds no cells",
        ),
        (
            b"[" * 100_000,
            "RecursionError",
            "the file's JSON is nested too deeply",
            "RecursionError",
        ),
    ],
    ids=["empty", "blank", "broken", "lfs", "conflict", "bytes", "list", "cells", "deep"],
)
def test_a_file_that_is_no_notebook_says_why(
    content: bytes, name: str, message: str, signature: str
) -> None:
    failure = parse_notebook(content).failure
    assert failure is not None
    assert failure.category is Category.INVALID_NOTEBOOK
    assert (failure.name, failure.message, failure.signature) == (name, message, signature)
