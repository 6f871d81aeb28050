"""Where getlatest looks for a release, and what it accepts."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import UsageError
from nbpipe.publishing.copies.errors import CopyError
from nbpipe.publishing.copies.origins import fetch, is_url, local
from nbpipe.publishing.copies.places import SeveralCollections, Source, find
from nbpipe.publishing.copies.update import Wanted, take
from tests.mirrors import HandMadeMirror, tree

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.publishing.copies.report import Report


class Place:
    """A home and a site's configuration."""

    def __init__(self, folder: Path) -> None:
        self.top = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.site = folder / "nbpipe.toml"

    def mirror(self, root: str, name: str = "notebooks-latest") -> HandMadeMirror:
        made = HandMadeMirror(self.top / root, name)
        made.publish("aaa", {"x": root})
        return made

    def find(
        self,
        given: str | None = None,
        *,
        collection: str | None = None,
        copy: str | None = None,
        **environ: str,
    ) -> Source:
        return find(
            given,
            environ=environ,
            home=self.home,
            site=self.site,
            collection=collection,
            copy=self.top / copy if copy else None,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def path_of(source: Source) -> Path:
    assert source.mirror is not None
    return source.mirror.path


def test_what_is_given_comes_before_everything(place: Place) -> None:
    one, two = place.mirror("one"), place.mirror("two")
    assert path_of(place.find(str(one.path), NBPIPE_MIRROR=str(two.path))) == one.path


def test_the_variable_comes_before_the_site(place: Place) -> None:
    one, two = place.mirror("one"), place.mirror("two")
    write_site(place, two)
    assert path_of(place.find(NBPIPE_MIRROR=str(one.path))) == one.path


def test_the_site_comes_before_the_home(place: Place) -> None:
    one, two = place.mirror("one"), place.mirror("two")
    write_site(place, two)
    (place.home / "notebooks-latest").symlink_to(one.path / "current")
    assert path_of(place.find()) == two.path


def test_the_space_in_the_home_is_enough(place: Place) -> None:
    one = place.mirror("one")
    (place.home / "notebooks-latest").symlink_to(one.path / "current")
    source = place.find()
    assert (path_of(source), source.name, source.folder) == (
        one.path,
        "notebooks-latest",
        "notebooks",
    )


def test_a_site_whose_file_cannot_be_read_does_not_matter(place: Place) -> None:
    one = place.mirror("one")
    place.site.mkdir()
    (place.home / "notebooks-latest").symlink_to(one.path / "current")
    assert path_of(place.find()) == one.path


def test_of_several_collections_the_one_in_the_spaces_is_meant(place: Place) -> None:
    write_site(place, place.mirror("one", "espanol"), place.mirror("two"))
    assert place.find().name == "notebooks-latest"
    assert place.find(collection="espanol").folder == "espanol-copy"


def test_a_collection_that_the_site_does_not_have_is_wrong_usage(place: Place) -> None:
    write_site(place, place.mirror("one"))
    with pytest.raises(UsageError, match=r"has no collection x\n  It has: notebooks-latest"):
        place.find(collection="x")


def test_a_second_language_is_found_by_its_name(place: Place) -> None:
    write_site(place, place.mirror("one"), place.mirror("two", "cuadernos-latest"))
    assert place.find().name == "notebooks-latest"
    for found in (
        place.find(copy="cuadernos"),
        place.find(collection="cuadernos"),
        place.find(collection="cuadernos-latest"),
    ):
        assert (found.name, found.folder) == ("cuadernos-latest", "cuadernos")
        assert found.collections == ("notebooks-latest", "cuadernos-latest")


def test_a_second_language_in_the_home_is_found_by_its_name(place: Place) -> None:
    for name in ("notebooks-latest", "cuadernos-latest"):
        (place.home / name).symlink_to(place.mirror("srv", name).path / "current")
    (place.home / "results-latest").mkdir()
    (place.home / "results-latest/x").write_text("a folder of the user's")
    assert place.find().name == "notebooks-latest"
    assert place.find(copy="work/cuadernos").name == "cuadernos-latest"
    assert place.find().collections == ("notebooks-latest", "cuadernos-latest")


def test_a_collection_in_the_home_may_have_any_name(place: Place) -> None:
    for name in ("notebooks-latest", "español"):
        (place.home / name).symlink_to(place.mirror("srv", name).path / "current")
    assert place.find(collection="español").folder == "español-copy"
    assert place.find().name == "notebooks-latest"


def test_a_link_in_the_home_adds_to_what_the_site_names(place: Place) -> None:
    write_site(place, place.mirror("one"))
    other = place.mirror("two", "cuadernos-latest")
    (place.home / "cuadernos-latest").symlink_to(other.path / "current")
    assert path_of(place.find(copy="cuadernos")) == other.path
    assert place.find().name == "notebooks-latest"


def test_an_update_needs_no_name_the_copy_knows_its_collection(place: Place) -> None:
    write_site(place, place.mirror("one"), place.mirror("two", "cuadernos-latest"))
    release = place.find(collection="cuadernos").release(None)
    take(release, place.top / "work", Wanted())
    release.close()
    assert place.find(copy="work").name == "cuadernos-latest"
    assert place.find(copy="other").name == "notebooks-latest"


def test_several_without_a_usual_one_are_a_choice(place: Place) -> None:
    write_site(
        place, place.mirror("one", "cuadernos-latest"), place.mirror("two", "cahiers-latest")
    )
    said = (
        r"several collections here: cuadernos-latest, cahiers-latest\n"
        r"  Say which: `getlatest cuadernos`, `getlatest cahiers`; or --collection NAME"
    )
    with pytest.raises(SeveralCollections, match=said) as caught:
        place.find()
    assert caught.value.exit_code == 4
    assert place.find(copy="cahiers").name == "cahiers-latest"


@pytest.mark.parametrize(
    ("spaces", "usual"),
    [
        ('collection = "cahiers-latest"', "cahiers-latest"),
        ('collection = ["cahiers-latest", "notebooks-latest"]', "notebooks-latest"),
        ('name = "cahiers-latest"', "cahiers-latest"),
    ],
)
def test_what_the_spaces_show_is_the_usual_one(place: Place, spaces: str, usual: str) -> None:
    write_site(place, place.mirror("one"), place.mirror("two", "cahiers-latest"), spaces=spaces)
    assert place.find().name == usual


def test_a_collection_without_a_release_is_not_replaced_by_another(place: Place) -> None:
    empty = place.mirror("two", "cuadernos-latest")
    (empty.path / "current").unlink()
    write_site(place, place.mirror("one"), empty)
    with pytest.raises(UsageError, match="collection cuadernos-latest: no release in"):
        place.find(collection="cuadernos")


def test_the_variable_is_passed_over_for_a_collection_that_is_named(place: Place) -> None:
    write_site(place, place.mirror("one"), place.mirror("two", "cuadernos-latest"))
    found = place.find(
        collection="cuadernos", NBPIPE_MIRROR=str(place.top / "one/notebooks-latest")
    )
    assert found.name == "cuadernos-latest"


def test_with_nothing_configured_a_copy_is_updated_from_where_it_was_taken(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    for given in (url, str(place.top / "origin")):
        release = place.find(given).release(None)
        take(release, place.top / "copy", Wanted())
        release.close()
        again = place.find(copy="copy")
        assert (again.url or str(again.repository)) == given


def test_nothing_anywhere_names_every_place_that_was_looked_at(place: Place) -> None:
    with pytest.raises(UsageError, match=r"(?s)NBPIPE_MIRROR is not set, .*nbpipe.toml .*--from"):
        place.find()


def test_nothing_anywhere_ends_as_a_wrong_place_does(place: Place) -> None:
    codes = []
    for given in (None, "/nowhere"):
        with pytest.raises(UsageError) as caught:
            place.find(given)
        codes.append(caught.value.exit_code)

    assert codes == [4, 4]


@pytest.mark.parametrize("end", ["", "current", "releases/aaa" + "0" * 37])
def test_a_mirror_may_be_named_by_any_of_its_parts(place: Place, end: str) -> None:
    one = place.mirror("one")
    assert path_of(place.find(str(one.path / end))) == one.path


def test_a_folder_without_a_mirror_around_it_is_one_release(place: Place) -> None:
    (place.top / "mounted").mkdir()
    (place.top / "mounted/x.ipynb").write_text("x")
    source = place.find(str(place.top / "mounted"))
    release = source.release(None)
    take(release, place.home / "copy", Wanted())
    release.close()
    assert tree(place.home / "copy") == {"x.ipynb": "x"}
    assert len(release.commit) == 40


def test_an_empty_folder_is_no_source(place: Place) -> None:
    (place.top / "empty").mkdir()
    with pytest.raises(UsageError, match="not a mirror, a release"):
        place.find(str(place.top / "empty"))


def test_a_mirror_without_a_release_says_so(place: Place) -> None:
    one = place.mirror("one")
    (one.path / "current").unlink()
    (one.path / "current").symlink_to("releases/gone")
    with pytest.raises(CopyError, match="has been removed"):
        place.find(str(one.path)).release(None)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("https://github.com/o/r", True),
        ("ssh://git@host/o/r.git", True),
        ("git@github.com:o/r.git", True),
        ("file:///srv/r.git", True),
        ("/srv/nbpipe/notebooks-latest", False),
        ("./a:b", False),
    ],
)
def test_what_a_url_is(text: str, *, result: bool) -> None:
    assert is_url(text) is result


@pytest.mark.parametrize("url", ["ext::sh -c id", "http://host/r", "git://host/r", "ftp://h/r"])
def test_other_ways_of_speaking_are_refused(place: Place, url: str) -> None:
    with pytest.raises(UsageError, match="--from"):
        place.find(url).release(None)
    assert not (place.home / ".cache").exists()


def test_a_copy_from_a_repository_elsewhere(place: Place) -> None:
    url = repository(place.top / "origin", {"a/x.ipynb": "1", "y": "2"})
    source = place.find(url)
    release = source.release(None)
    report = take(release, place.home / "copy", Wanted())
    release.close()
    assert source.folder == "origin"
    assert tree(place.home / "copy") == {"a/x.ipynb": "1", "y": "2"}
    assert report.source == url


def test_an_update_from_a_repository_keeps_what_the_user_changed(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1", "y": "2"})
    get(place, url)
    (place.home / "copy/x").write_text("mine")
    commit = commit_files(place.top / "origin", {"x": "11", "y": "22"})
    get(place, url)
    assert tree(place.home / "copy") == {"x": "mine", f"x__{commit[:7]}": "11", "y": "22"}


def test_filters_hooks_and_attributes_of_the_repository_do_not_run(place: Place) -> None:
    attributes = "*.txt text eol=crlf ident\n*.x filter=evil export-ignore\n"
    url = repository(
        place.top / "origin", {".gitattributes": attributes, "a.txt": "$Id$\n", "b.x": "b"}
    )
    get(place, url)
    assert (place.home / "copy/a.txt").read_bytes() == b"$Id$\n"
    assert (place.home / "copy/b.x").read_text() == "b"


def test_the_repository_one_stands_in_does_not_matter(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    other = repository(place.top / "other", {"z": "1"})
    (place.top / "other/.git/config").write_text('[url "file:///nowhere/"]\ninsteadOf = file:///\n')
    monkeypatch.chdir(place.top / "other")
    monkeypatch.setenv("GIT_DIR", str(place.top / "other/.git"))
    get(place, url)
    assert other != url
    assert tree(place.home / "copy") == {"x": "1"}


def test_a_commit_of_a_repository(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    first = git(place.top / "origin", "rev-parse", "HEAD").strip()
    commit_files(place.top / "origin", {"x": "2"})
    git(place.top / "origin", "config", "uploadpack.allowAnySHA1InWant", "true")
    release = fetch(url, first, place.home / "cache")
    assert release.commit == first
    release.close()


def test_what_was_fetched_is_for_its_owner_alone(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    cache = place.home / "cache"
    fetch(url, None, cache).close()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    cache.chmod(0o755)
    fetch(url, None, cache).close()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_the_beginning_of_a_commit_cannot_be_asked_of_a_server(place: Place) -> None:
    with pytest.raises(UsageError, match="is not a whole commit id"):
        fetch("file:///nowhere", "abc1234", place.home)


def test_a_git_killed_in_the_cache_does_not_stop_the_next_run(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    get(place, url)
    (cache,) = (place.home / "cache").glob("*.git")
    for name in ("shallow.lock", "config.lock", "refs/getlatest/taken.lock"):
        (cache / name).touch()
    (cache / "HEAD").unlink()
    commit_files(place.top / "origin", {"x": "2"})
    assert get(place, url).updated == ["x"]


def test_a_repository_that_is_not_there(place: Place) -> None:
    with pytest.raises(CopyError, match=r"file:///nowhere/r\.git: git fetch failed: .*nowhere"):
        fetch("file:///nowhere/r.git", None, place.home / "cache")


def test_a_password_in_a_url_is_never_shown(place: Place) -> None:
    with pytest.raises(CopyError) as caught:
        fetch("https://user:pa55word@127.0.0.1:1/r.git", None, place.home / "cache")
    assert "pa55word" not in str(caught.value)


def test_a_submodule_is_left_out_and_said(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    commit = git(place.top / "origin", "rev-parse", "HEAD").strip()
    git(place.top / "origin", "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    git(place.top / "origin", "commit", "-qm", "sub")
    assert get(place, url).left_out == [("sub", "a repository of its own (submodule)")]


def test_a_tree_with_a_name_that_leads_elsewhere_is_refused(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    blob = git(place.top / "origin", "rev-parse", "HEAD:x").strip()
    inner = git(place.top / "origin", "mktree", stdin=f"100644 blob {blob}\t..\n").strip()
    commit = git(place.top / "origin", "commit-tree", "-m", "x", inner).strip()
    git(place.top / "origin", "reset", "-q", "--soft", commit)
    with pytest.raises(CopyError, match="its name stands for a folder"):
        get(place, url)
    assert not (place.home / "copy").exists()


def test_a_repository_still_has_what_was_taken_before(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    first = get(place, url).release
    blob = git(place.top / "origin", "rev-parse", "HEAD:x").strip()
    commit_files(place.top / "origin", {"x": "2"})
    for release in (fetch(url, None, place.home / "cache"), local(place.top / "origin", None)):
        assert release.before("x", first, blob) == b"1"
        assert release.before("x", first, "0" * 40) is None
        assert release.before("x", first, "--batch") is None
        release.close()


def test_pointers_of_git_lfs_are_named_with_what_gets_their_content(place: Place) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{7:064}\nsize 200000\n"
    url = repository(place.top / "origin", {"a/b.fits": pointer, "c.txt": "version 1"})
    for _ in range(2):  # told again by an update: the content still is not there
        report = get(place, url)
        assert report.pointers == ["a/b.fits"]
        assert report.notes == [
            f"with git-lfs installed, `git clone {url}` gets what the Git LFS pointers stand for"
        ]


def test_without_the_origin_the_last_release_is_taken_with_a_warning(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    get(place, url)
    (place.top / "origin").rename(place.top / "elsewhere")
    report = get(place, url, copy="another")
    assert tree(place.home / "another") == {"x": "1"}
    first, second = report.warning.splitlines()
    assert first.startswith(f"{url}: git fetch failed: fatal: ")
    assert re.fullmatch(
        rf"  The release that was fetched last is taken: {report.release[:12]} of "
        r"\d{4}-\d\d-\d\d; there may be a newer one\.",
        second,
    )
    (place.top / "elsewhere").rename(place.top / "origin")
    assert get(place, url).warning == ""


def test_a_commit_that_was_fetched_needs_no_origin(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    commit = get(place, url).release
    (place.top / "origin").rename(place.top / "elsewhere")
    release = fetch(url, commit, place.home / "cache")
    assert (release.commit, release.warning) == (commit, "")
    release.close()
    with pytest.raises(CopyError, match="git fetch failed"):
        fetch(url, "a" * 40, place.home / "cache")


def test_a_cache_that_lost_a_file_is_not_taken_for_the_release(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    get(place, url)
    blob = git(place.top / "origin", "rev-parse", "HEAD:x").strip()
    (cache,) = (place.home / "cache").glob("*.git")
    for pack in (cache / "objects/pack").glob("*.pack"):  # as loose files, to lose one
        data = pack.read_bytes()
        for file in pack.parent.glob(f"{pack.stem}.*"):
            file.unlink()
        subprocess.run(["git", "-C", cache, "unpack-objects", "-q"], input=data, check=True)
    (cache / "objects" / blob[:2] / blob[2:]).unlink()
    (place.top / "origin").rename(place.top / "elsewhere")
    with pytest.raises(CopyError, match="git fetch failed"):
        get(place, url)


def test_a_silent_server_is_given_up_and_the_last_release_taken(place: Place) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (place.home / "cache").mkdir()
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/r.git"
        with pytest.raises(CopyError, match=r"no answer for 0\.5 seconds; given up\n.*--timeout"):
            fetch(address, None, place.home / "cache", silence=0.5)
        get(place, url)
        digests = [hashlib.sha256(each.encode()).hexdigest()[:16] for each in (url, address)]
        one, other = (place.home / "cache" / f"{digest}.git" for digest in digests)
        shutil.rmtree(other)
        one.rename(other)
        release = fetch(address, None, place.home / "cache", silence=0.5)
        assert release.warning.startswith(f"{address}: no answer for 0.5 seconds; given up\n")
        release.close()


def test_a_server_that_says_a_word_now_and_then_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = repository(place.top / "origin", {"x": "1"})
    slow = place.top / "slow"
    slow.write_text(
        "#!/bin/sh\nfor i in 1 2 3 4 5 6; do echo remote: wait >&2; sleep 1; done\n"
        'shift; eval exec "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(slow))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    address = url.replace("file://", "ssh://host")
    release = fetch(address, None, place.home / "cache", silence=5.0)
    assert sorted(release.listing()) == ["x"]
    release.close()


def test_how_far_a_fetch_is_is_told(place: Place) -> None:
    url = repository(place.top / "origin", {f"n{i}": str(i) for i in range(120)})
    seen: list[tuple[int, int]] = []
    fetch(url, None, place.home / "cache", progress=lambda *where: seen.append(where)).close()
    assert seen[-1] == (100, 100)


def test_what_a_server_says_reaches_the_terminal_in_printable_characters(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rude = place.top / "rude"
    rude.write_text("#!/bin/sh\nprintf 'go \\033[2Jaway\\nplease\\n' >&2; exit 1\n")
    rude.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(rude))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    with pytest.raises(CopyError) as caught:
        fetch("ssh://host/r", None, place.home / "cache")
    assert "git fetch failed: go \\x1b[2Jaway; please; fatal: " in str(caught.value.args[0])
    assert "\n" not in caught.value.args[0]


def test_a_working_clone_is_taken_as_it_was_committed(place: Place) -> None:
    repository(place.top / "origin", {"a/x.ipynb": "1", "y": "2"})
    commit = git(place.top / "origin", "rev-parse", "HEAD").strip()
    (place.top / "origin/y").write_text("not committed")
    source = place.find(str(place.top / "origin"))
    release = source.release(None)
    report = take(release, place.home / "copy", Wanted())
    release.close()
    assert (source.name, source.folder) == ("origin", "origin-copy")
    assert tree(place.home / "copy") == {"a/x.ipynb": "1", "y": "2"}
    assert re.fullmatch(
        rf"HEAD {commit[:12]} of \d{{4}}-\d\d-\d\d, 'more'; "
        "changes that are not committed are not part of it",
        report.notes[0],
    )


def test_a_bare_repository_a_worktree_and_an_older_commit_of_it(place: Place) -> None:
    repository(place.top / "origin", {"x": "1"})
    first = git(place.top / "origin", "rev-parse", "HEAD").strip()
    commit_files(place.top / "origin", {"x": "2"})
    git(place.top, "clone", "-q", "--bare", str(place.top / "origin"), "bare.git")
    git(place.top / "origin", "worktree", "add", "-q", str(place.top / "tree"), first)
    assert place.find(str(place.top / "bare.git")).folder == "bare"
    for path, wanted, text in (
        ("bare.git", None, "2"),
        ("tree", None, "1"),
        ("bare.git", first, "1"),
    ):
        release = place.find(str(place.top / path)).release(wanted and wanted[:8])
        with release.open("x") as file:
            assert file.read().decode() == text
        release.close()


def test_a_repository_without_a_commit_says_so(place: Place) -> None:
    (place.top / "origin").mkdir()
    git(place.top / "origin", "init", "-q")
    source = place.find(str(place.top / "origin"))
    with pytest.raises(CopyError, match="this repository has no commit yet"):
        source.release(None)
    with pytest.raises(UsageError, match="--release abcd: no such commit"):
        source.release("abcd")
    with pytest.raises(UsageError, match="--release --all: is not a commit id"):
        source.release("--all")


def test_a_repository_of_this_machine_runs_nothing_of_its_own(place: Place) -> None:
    repository(place.top / "origin", {"x": "1", "y": "2"})
    trap = place.top / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {place.top}/sprung\n")
    trap.chmod(0o755)
    for key, value in (
        *(("core.fsmonitor", trap), ("core.sshCommand", trap), ("core.pager", trap)),
        *(("core.hooksPath", place.top), ("filter.f.smudge", trap), ("diff.external", trap)),
        *(("remote.o.url", f"ext::{trap}"), ("remote.o.promisor", "true")),
        *(("remote.o.uploadpack", trap), ("extensions.partialClone", "o"), ("gpg.program", trap)),
        *(("log.showSignature", "true"), ("core.repositoryFormatVersion", "1")),
    ):
        git(place.top / "origin", "config", key, str(value))
    blob = git(place.top / "origin", "rev-parse", "HEAD:y").strip()
    (place.top / "origin/.git/objects" / blob[:2] / blob[2:]).unlink()
    release = place.find(str(place.top / "origin")).release(None)
    with pytest.raises(CopyError, match="y: its content is missing there"):
        take(release, place.home / "copy", Wanted())
    release.close()
    assert not (place.top / "sprung").exists()


def write_site(
    place: Place, *mirrors: HandMadeMirror, spaces: str = 'name = "notebooks-latest"'
) -> None:
    place.site.write_text(
        "".join(
            f'[[collection]]\nname = "{m.path.name}"\nroot = "{m.path.parent}"\n' for m in mirrors
        )
        + f"[spaces]\n{spaces}\n"
    )


def get(place: Place, url: str, copy: str = "copy") -> Report:
    release = fetch(url, None, place.home / "cache")
    try:
        return take(release, place.home / copy, Wanted())
    finally:
        release.close()


def repository(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit_files(folder, files)
    return f"file://{folder}"


def commit_files(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "more")
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"},
    )
    return done.stdout
