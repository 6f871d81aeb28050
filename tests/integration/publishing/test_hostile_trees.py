"""A hostile repository, written object by object; with git's own check on and off.

Where git's check (fsck) is on, the fetch itself may refuse; where it is off, ours stands alone.
Either way the last release stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.config.settings import ReleaseLimits
from nbpipe.publishing.health import State
from nbpipe.publishing.reconcile import Result
from nbpipe.publishing.releases.journal import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, Any]]

GIT = "its name is .git on some file systems"
NAMES = [
    (b".git", GIT),
    (b".GIT", GIT),
    (b"git~1", GIT),
    (".g\u200cit".encode(), GIT),
    (b".git. .", GIT),
    (b".git\\hooks", GIT),
    (b"..", "its name stands for a folder"),
    (b".", "its name stands for a folder"),
    (b"../escaped", "its name has a slash in it"),
    (b"a/b", "its name has a slash in it"),
    (b"line\nbreak", "its name has control characters in it"),
    ("txt.\u202egpj".encode(), "its name changes the direction of writing"),
    (b"latin-\xe9", "its name is not UTF-8"),
    (b"n" * 256, "its name is 256 bytes long, 255 is the most"),
    (b"back\\slash", "its name has a backslash in it"),
]


@pytest.mark.parametrize("fsck", [False, True])
@pytest.mark.parametrize("case", NAMES, ids=lambda case: ascii(case[0])[:20])
def test_a_dangerous_name_refuses_the_release(
    origin: Origin, follow: Follow, tmp_path: Path, *, case: tuple[bytes, str], fsck: bool
) -> None:
    name, why = case
    good = origin.publish({"a": b"1"})
    worker = follow(fsck=fsck)
    worker.reconcile_once()
    below = origin.tree(("100644", name, origin.blob(b"evil")))
    head = origin.push(origin.tree(("40000", b"sub", below)))

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.REFUSED, good)
    assert why in (outcome.error or "") or (fsck and "git refuses" in (outcome.error or ""))
    assert worker.mirror.releases() == [good]
    assert not list(tmp_path.rglob("*escaped*"))
    assert worker.health().state is State.FAILING
    assert fsck or worker.health().wanted == head


@pytest.mark.parametrize("mode", ["100644", "40000"])
def test_an_empty_name_refuses_the_release(origin: Origin, follow: Follow, mode: str) -> None:
    good = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    child = origin.blob(b"x") if mode == "100644" else origin.files({"f": b"x"})
    origin.push(origin.tree((mode, b"", child)))

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.REFUSED, good)


@pytest.mark.parametrize("second", ["100644", "40000", "120000"])
def test_a_name_that_is_there_twice_refuses_the_release(
    origin: Origin, follow: Follow, second: str
) -> None:
    blob = origin.blob(b"x")
    child = origin.files({"f": b"x"}) if second == "40000" else blob
    origin.push(origin.tree(("100644", b"a", blob), (second, b"a", child)))

    outcome = follow().reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "a: it is there twice" in (outcome.error or "")


def test_a_device_among_the_modes_refuses_the_release(origin: Origin, follow: Follow) -> None:
    origin.push(origin.tree(("100644", b"ok", origin.blob(b"x"))))
    worker = follow()
    good = worker.reconcile_once().current
    origin.push(origin.tree(("100644", b"ok", origin.blob(b"x")), ("60644", b"z", "1" * 40)))

    outcome = worker.reconcile_once()

    assert outcome.result is not Result.PUBLISHED
    assert outcome.current == good


def test_a_blob_where_a_tree_is_announced_is_not_published(origin: Origin, follow: Follow) -> None:
    good = origin.publish({"a": b"1"})
    worker = follow()
    worker.reconcile_once()
    origin.push(origin.tree(("40000", b"sub", origin.blob(b"no tree"))))

    outcome = worker.reconcile_once()

    assert outcome.result is not Result.PUBLISHED
    assert outcome.current == good


LINKS = {
    "absolute": "/etc/passwd",
    "up": "../../outside",
    "through": "dir/../../x",
    "second": "inside/../../x",
    "round": "round2",
    "round2": "round",
}


def links(origin: Origin) -> str:
    blob = origin.blob(b"content")
    sub = origin.tree(("100644", b"f", blob))
    entries = [("120000", name.encode(), origin.blob(to.encode())) for name, to in LINKS.items()]
    entries += [("120000", b"inside", origin.blob(b"dir")), ("40000", b"dir", sub)]
    entries += [("100644", b"f", blob), ("120000", b"zz-nowhere", origin.blob(b"missing"))]
    return origin.push(origin.tree(*sorted(entries, key=lambda entry: entry[1])))


def test_links_out_of_the_tree_are_left_out_and_reported(
    origin: Origin, follow: Follow, look: Look
) -> None:
    links(origin)
    worker = follow()

    outcome = worker.reconcile_once()

    assert look(worker.mirror.link) == {
        "dir/f": b"content",
        "f": b"content",
        "inside": "dir",
        "zz-nowhere": "missing",
    }
    assert sorted(outcome.warnings) == [
        "absolute: a link that leads out of the collection is left out",
        "round2: a link that leads in a circle is left out",
        "round: a link that leads in a circle is left out",
        "second: a link that leads out of the collection is left out",
        "through: a link that leads out of the collection is left out",
        "up: a link that leads out of the collection is left out",
        "zz-nowhere: a link that leads to nothing",
    ]


def test_links_out_of_the_tree_refuse_the_release_where_the_settings_say_so(
    origin: Origin, follow: Follow
) -> None:
    links(origin)

    outcome = follow(symlinks="refuse").reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "second: a link that leads out of the collection" in (outcome.error or "")


def test_a_submodule_is_left_out_and_never_fetched(
    origin: Origin, follow: Follow, look: Look, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    modules = f'[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "touch {marker}"\n'
    entries = [("100644", b".gitmodules", origin.blob(modules.encode()))]
    origin.push(origin.tree(*entries, ("160000", b"s", "1" * 40)))
    worker = follow()

    outcome = worker.reconcile_once()

    assert outcome.warnings == ("s: a submodule is left out",)
    assert list(look(worker.mirror.link)) == [".gitmodules"]
    assert not marker.exists()


def test_filters_attributes_and_hooks_do_not_run(
    origin: Origin, follow: Follow, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    trap.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = {trap}\n\trequired = true\n[core]\n\tfsmonitor = {trap}\n'
        f"\thooksPath = {tmp_path}\n\tsshCommand = {trap}\n"
        f"[uploadpack]\n\tpackObjectsHook = {trap}\n"
    )
    for hook in ("reference-transaction", "post-checkout", "post-merge"):
        (tmp_path / hook).symlink_to(trap)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap))
    attributes = b"* filter=evil eol=crlf ident export-subst\nsecret.txt export-ignore\n"
    files = {".gitattributes": attributes, "a.txt": b"$Id$ $Format:%H$\n", "secret.txt": b"s\n"}
    origin.publish(files)
    worker = follow()

    worker.reconcile_once()

    assert look(worker.mirror.link) == files
    assert not marker.exists()


def test_collisions_are_published_with_a_warning(origin: Origin, follow: Follow) -> None:
    origin.publish({"A.txt": b"1", "a.txt": b"2", "caf\u00e9": b"3", "cafe\u0301": b"4"})
    worker = follow()

    outcome = worker.reconcile_once()

    assert outcome.result is Result.PUBLISHED
    assert len(outcome.warnings) == 2
    assert len(list(worker.mirror.link.iterdir())) == 4


def test_a_tree_of_billions_is_refused_and_nothing_is_written(
    origin: Origin, follow: Follow
) -> None:
    tree = origin.files({"f": b"x"})
    for _ in range(10):
        tree = origin.tree(*(("40000", f"d{number}".encode(), tree) for number in range(10)))
    origin.push(tree)
    worker = follow()

    outcome = worker.reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "more than 200,000 files and folders" in (outcome.error or "")
    assert list((worker.mirror.state / "building").iterdir()) == []


def test_a_file_over_the_limit_is_refused_before_it_is_read(origin: Origin, follow: Follow) -> None:
    origin.publish({"big": b"\0" * 2_000_000})
    worker = follow(limits=ReleaseLimits(file_size=1))

    outcome = worker.reconcile_once()

    assert "big: 2,000,000 bytes, 1 MB is the most" in (outcome.error or "")
    assert list((worker.mirror.state / "store").glob("??/*")) == []


def test_a_refused_head_is_remembered_until_the_branch_moves_or_the_rules_change(
    origin: Origin, follow: Follow
) -> None:
    below = origin.tree(("100644", b"back\\slash", origin.blob(b"x")))
    refused = origin.push(origin.tree(("40000", b"sub", below)))
    worker = follow()

    results = [worker.reconcile_once().result for _ in range(3)]

    assert results == [Result.REFUSED] * 3
    events = [(entry.event, entry.commit) for entry in worker.mirror.journal.entries()]
    assert events == [(Event.REFUSED, refused)]
    assert follow(backslashes="publish").reconcile_once().current == refused
    good = origin.publish({"a": b"1"})
    assert worker.reconcile_once().current == good
