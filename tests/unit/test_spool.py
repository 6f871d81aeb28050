"""Long stream texts: what goes in comes out, whatever it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.execution.kernels import spool
from nbpipe.execution.kernels.spool import Escaped, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "0123456789abcdef"  # noqa: S105  (no secret)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Spool]:
    held = Spool(tmp_path, TOKEN)
    yield held
    held.close()


def written(held: Spool, document: Any) -> Any:  # noqa: ANN401  (JSON)
    pieces = json.JSONEncoder(indent=1, ensure_ascii=False).iterencode(document)
    return json.loads(b"".join(held.expand(pieces)))


def escaped(text: str) -> Escaped:
    return Escaped(memoryview(json.dumps(text)[1:-1].encode()))


def test_a_short_text_stays_in_memory(held: Spool) -> None:
    text = held.new()
    held.append(text, "one\n")
    held.append(text, "two\n")
    assert held.value(text) == "one\ntwo\n"


def test_a_long_text_is_the_same_in_the_copy(held: Spool) -> None:
    long = 'line "quoted" \\ é 🙂 \x00\n' * 200_000
    text = held.new()
    held.append(text, "first\n")
    held.append(text, long)
    held.append(text, "last\n")
    assert len(held.value(text)) < 100
    assert written(held, {"text": held.value(text)}) == {"text": f"first\n{long}last\n"}


def test_a_placeholder_in_a_list_is_replaced_as_well(held: Spool) -> None:
    text = held.new()
    held.append(text, escaped("raw\n"))
    document = {"outputs": [{"text": [held.value(text)]}, {"text": [held.value(text), "x"]}]}
    assert written(held, document) == {"outputs": [{"text": ["raw\n"]}, {"text": ["raw\n", "x"]}]}


def test_two_long_texts_that_grow_in_turns_are_kept_apart(
    held: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_MEMORY_CHARACTERS", 3)
    one, two = held.new(), held.new()
    for number in range(5):
        held.append(one, f"a{number}\n")
        held.append(two, f"b{number}\n")
    assert written(held, [held.value(one), held.value(two)]) == [
        "a0\na1\na2\na3\na4\n",
        "b0\nb1\nb2\nb3\nb4\n",
    ]


def test_a_notebook_that_prints_a_placeholder_gets_what_it_printed(held: Spool) -> None:
    forged = "nbpipe-spooled:ffffffffffffffff:0"
    assert written(held, [forged]) == [forged]


@pytest.mark.parametrize("size", range(40))
def test_a_text_is_cut_between_characters_and_escapes(size: int) -> None:
    whole = 'a"\\\n\u2028é🙂' * 3
    data = json.dumps(whole, ensure_ascii=size % 2 == 0)[1:-1].encode()
    head = str(Escaped(memoryview(data)).head(size))
    assert whole.startswith(head.rstrip("\ud83d"))
    kept = json.dumps(head, ensure_ascii=size % 2 == 0)[1:-1].encode(errors="replace")
    assert min(size, len(data)) - 12 < len(kept) <= size


def test_the_tail_is_the_end_of_what_was_printed(held: Spool) -> None:
    text = held.new()
    held.append(text, "x" * 10_000 + "\n")
    held.append(text, escaped("y\n" * 10_000 + "bash: nosuch: command not found\n"))
    assert text.tail.endswith("y\nbash: nosuch: command not found\n")
    assert len(text.tail) <= 4_000
