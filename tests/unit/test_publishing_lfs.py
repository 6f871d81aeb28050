"""Git LFS pointers."""

from __future__ import annotations

import pytest

from nbpipe.publishing.origin.lfs import Pointer, pointer

TEXT = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"a" * 64)


def test_a_pointer_is_recognised() -> None:
    assert pointer(TEXT) == Pointer("a" * 64, 12345)


def test_an_extension_line_is_allowed() -> None:
    text = TEXT.replace(b"oid", b"ext-0-foo sha256:%s\noid" % (b"b" * 64))

    assert pointer(text) == Pointer("a" * 64, 12345)


@pytest.mark.parametrize(
    "content",
    [b"", b"print(1)\n", TEXT[:-1], TEXT.replace(b"a" * 64, b"a" * 63), TEXT + b"\0" * 2000],
)
def test_other_content_is_none(content: bytes) -> None:
    assert pointer(content) is None
