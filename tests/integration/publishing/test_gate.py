"""The operator's own command has the last word before a flip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nbpipe.cli.publish import command as publish
from nbpipe.publishing.reconcile import Result
from nbpipe.publishing.releases import operations
from nbpipe.publishing.releases.journal import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, bytes | str]]
    Modes = Callable[[Path], dict[str, str]]


def gate(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_candidate_that_passes_is_published(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    told = tmp_path / "told"
    code = (
        "import os, sys; candidate = sys.argv[1]; "
        "assert open(candidate + '/a').read() == '1'; "
        "assert os.environ['NBPIPE_CANDIDATE'] == candidate; "
        f"open({str(told)!r}, 'w').write(os.environ['NBPIPE_COMMIT'])"
    )

    outcome = follow(gate=gate(code)).reconcile_once()

    assert outcome.current == head
    assert told.read_text() == head


def test_a_candidate_that_does_not_pass_leaves_the_old_release_and_is_asked_once(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    good = origin.publish({"a": b"1"})
    follow().reconcile_once()
    refused = origin.publish({"a": b"2"})
    counter = tmp_path / "counter"
    code = (
        f"open({str(counter)!r}, 'a').write('x'); "
        "print('notebook a is broken'); raise SystemExit(3)"
    )
    worker = follow(gate=gate(code))

    outcomes = [worker.reconcile_once() for _ in range(3)]

    assert {outcome.result for outcome in outcomes} == {Result.REFUSED}
    assert worker.mirror.current() == good
    assert worker.mirror.releases() == [good]
    assert "ended with 3" in (outcomes[-1].error or "")
    assert "notebook a is broken" in (outcomes[-1].error or "")
    assert counter.read_text() == "x"
    worker.reconcile_once(again=True)
    assert counter.read_text() == "xx"
    assert worker.health().wanted == refused


def test_a_gate_that_hangs_is_ended_with_all_its_children(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    worker = follow(gate=("sh", "-c", "sleep 600 & sleep 600; true"), gate_timeout=0.5)

    outcome = worker.reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "took longer than 0.5 s" in (outcome.error or "")


def test_a_stop_ends_a_gate_and_is_no_verdict(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    good = origin.publish({"a": b"1"})
    follow().reconcile_once()
    head = origin.publish({"a": b"2"})
    told, stop = tmp_path / "told", threading.Event()
    worker = follow(gate=gate(DETACHES.format(told=str(told)) + "time.sleep(600)"))
    thread = threading.Thread(target=worker.run_forever, args=(stop,))
    thread.start()
    until(lambda: told.exists() and told.read_text())

    stop.set()
    thread.join(60)

    assert not thread.is_alive()
    assert not alive(int(told.read_text()))
    health = worker.health()
    assert (health.current, health.error, health.failures) == (good, None, 0)
    assert follow().reconcile_once().current == head


def test_a_terminated_service_ends_its_gate(origin: Origin, tmp_path: Path) -> None:
    origin.publish({"a": b"1"})
    told, file = tmp_path / "told", tmp_path / "nbpipe.toml"
    command = gate(DETACHES.format(told=str(told)) + "time.sleep(600)")
    file.write_text(
        f"[[collection]]\nname = 'nb'\norigin = '{origin.path}'\nroot = '{tmp_path / 'srv'}'\n"
        f"protocols = ['file']\ngate = {json.dumps(command)}\n"
    )
    words = [sys.executable, "-m", "nbpipe", "publish", "--watch", "--config", str(file)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: told.exists() and told.read_text())

        process.terminate()
        _, said = process.communicate(timeout=60)

    assert (process.returncode, "stopped while the gate looked" in said) == (0, True), said
    assert not alive(int(told.read_text()))


def test_a_gate_that_writes_into_the_candidate_refuses_it(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    code = (
        "import os, sys; path = sys.argv[1] + '/a'; os.chmod(path, 0o644); "
        "open(path, 'w').write('2'); os.chmod(path, 0o444)"
    )
    worker = follow(gate=gate(code))

    outcome = worker.reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "the gate changed the candidate" in (outcome.error or "")
    assert follow().reconcile_once().result is Result.PUBLISHED
    assert (worker.mirror.link / "a").read_bytes() == b"1"


def test_what_a_gate_prints_does_nothing_to_a_terminal(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    code = r"print('\x1b[2Jcleared\rover\u2028\x85 caf\xe9\nnext'); raise SystemExit(1)"

    error = follow(gate=gate(code)).reconcile_once().error or ""

    assert "\ncleared\nover\\u2028\\x85 café\nnext" in error


def test_a_missing_gate_publishes_nothing(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})

    outcome = follow(gate=("/no/such/gate",)).reconcile_once()

    assert outcome.current is None
    assert "cannot be run: No such file or directory" in (outcome.error or "")


def test_a_gate_does_not_see_the_secrets(
    origin: Origin, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "BEACON_SECRET", "hunter2")
    origin.publish({"a": b"1"})
    code = "import os; raise SystemExit('hunter2' in str(os.environ))"
    changes: dict[str, Any] = {"gate": gate(code), "secrets": ("env:BEACON_SECRET",)}

    assert follow(**changes).reconcile_once().result is Result.PUBLISHED


def in_place(folder: str, *, code: int) -> str:
    """Return a gate that writes into the file `same` without replacing it."""
    return (
        f"import os, sys; path = {folder} + '/same'; os.chmod(path, 0o644); "
        f"open(path, 'r+b').write(b'gate'); raise SystemExit({code})"
    )


@pytest.mark.parametrize("code", [0, 1])
def test_a_gate_that_writes_in_place_reaches_no_published_byte(
    origin: Origin, follow: Follow, look: Look, code: int
) -> None:
    good = origin.publish({"same": b"same", "a": b"1"})
    follow().reconcile_once()
    origin.publish({"same": b"same", "a": b"2"})
    worker = follow(gate=gate(in_place("sys.argv[1]", code=code)))

    assert worker.reconcile_once().result is Result.REFUSED
    assert worker.mirror.current() == good
    assert look(worker.mirror.release(good)) == {"same": b"same", "a": b"1"}
    assert operations.verify(worker.publisher, repair=False)[0].damages == ()
    following = origin.publish({"same": b"same", "a": b"3"})
    assert follow(gate=gate("")).reconcile_once().current == following
    assert look(worker.mirror.link) == {"same": b"same", "a": b"3"}


CHANGES = {
    "mode": "os.chmod(top + '/same', 0o777)",
    "deleted": "os.unlink(top + '/same')",
    "added": "open(top + '/extra', 'w').write('x')",
    "link": "os.unlink(top + '/link'); os.symlink('/etc', top + '/link')",
    "folder": "os.chmod(top + '/sub', 0o755); os.rename(top + '/sub', top + '/bus')",
    "replaced": "os.unlink(top + '/same'); open(top + '/same', 'w').write('gate')",
}


def a_tree(origin: Origin, content: bytes) -> str:
    """Publish two files, a folder and a link; `a` is what differs."""
    files = {"same": b"same", "a": content, "sub/b": b"b"}
    link = ("120000", b"link", origin.blob(b"a"))
    entries = [("100644", name.encode(), origin.blob(files[name])) for name in ("a", "same")]
    sub = ("40000", b"sub", origin.files({"b": files["sub/b"]}))
    return origin.push(origin.tree(entries[0], link, entries[1], sub))


WHOLE: dict[str, bytes | str] = {"a": b"1", "link": "a", "same": b"same", "sub/b": b"b"}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_a_gate_does_to_its_copy_stays_there(
    origin: Origin, follow: Follow, look: Look, look_at_modes: Modes, change: str
) -> None:
    good = a_tree(origin, b"1")
    follow().reconcile_once()
    modes = look_at_modes(follow().mirror.release(good))
    a_tree(origin, b"2")
    code = f"import os, sys; top = sys.argv[1]; os.chmod(top, 0o755); {change}"
    worker = follow(gate=gate(code))

    outcome = worker.reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "the gate changed the candidate" in (outcome.error or "")
    assert look(worker.mirror.release(good)) == WHOLE
    assert look_at_modes(worker.mirror.release(good)) == modes
    assert follow(gate=gate("")).reconcile_once().result is Result.PUBLISHED
    assert look(worker.mirror.link) == WHOLE | {"a": b"2"}


def test_a_hard_link_that_a_gate_makes_leads_to_its_own_bytes(
    origin: Origin, follow: Follow, look: Look, tmp_path: Path
) -> None:
    origin.publish({"same": b"same"})
    outside = tmp_path / "outside"
    worker = follow(gate=gate(f"import os, sys; os.link(sys.argv[1] + '/same', {str(outside)!r})"))

    assert worker.reconcile_once().result is Result.PUBLISHED
    outside.chmod(0o644)
    outside.write_bytes(b"gate")
    assert look(worker.mirror.link) == {"same": b"same"}


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_gate_does_to_the_published_release_is_found_and_mended(
    origin: Origin, follow: Follow, look: Look, change: str, code: int
) -> None:
    good = a_tree(origin, b"1")
    worker = follow()
    worker.reconcile_once()
    a_tree(origin, b"2")
    top = str(worker.mirror.link.resolve())
    writes = f"import os; top = {top!r}; os.chmod(top, 0o755); {change}; raise SystemExit({code})"

    outcome = follow(gate=gate(writes)).reconcile_once()

    assert outcome.result is Result.REFUSED
    assert worker.mirror.current() == good
    assert look(worker.mirror.link) == WHOLE
    assert Event.REPAIRED in {entry.event for entry in worker.mirror.journal.entries()}
    assert follow(gate=gate("")).reconcile_once().result is Result.PUBLISHED
    assert look(worker.mirror.link) == WHOLE | {"a": b"2"}


def test_a_gate_that_takes_the_link_and_a_release_away_costs_nothing(
    origin: Origin, follow: Follow, look: Look
) -> None:
    a_tree(origin, b"1")
    worker = follow()
    worker.reconcile_once()
    a_tree(origin, b"2")
    code = (
        f"import os, shutil; os.unlink({str(worker.mirror.link)!r}); "
        f"folder = {str(worker.mirror.releases_folder)!r}; "
        "[os.chmod(here, 0o755) for here, _, _ in os.walk(folder)]; shutil.rmtree(folder); "
        "os.mkdir(folder); os.mkdir(folder + '/' + os.environ['NBPIPE_COMMIT'])"
    )

    assert follow(gate=gate(code)).reconcile_once().result is Result.REFUSED
    assert look(worker.mirror.link) == WHOLE
    assert follow(gate=gate("")).reconcile_once().result is Result.PUBLISHED
    assert look(worker.mirror.link) == WHOLE | {"a": b"2"}


DETACHES = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        open({told!r}, 'w').write(str(os.getpid()))\n"
    "        time.sleep(600)\n"
    "    os._exit(0)\n"
    "while not os.path.exists({told!r}) or not open({told!r}).read():\n"
    "    time.sleep(0.01)\n"
)


@pytest.mark.parametrize(
    ("end", "result"),
    [
        ("", Result.PUBLISHED),
        ("raise SystemExit(1)", Result.REFUSED),
        ("time.sleep(600)", Result.REFUSED),
        ("import signal; os.kill(os.getpid(), signal.SIGKILL)", Result.REFUSED),
    ],
    ids=["success", "refusal", "timeout", "killed"],
)
def test_nothing_that_a_gate_started_outlives_it(
    origin: Origin, follow: Follow, tmp_path: Path, end: str, result: Result
) -> None:
    origin.publish({"a": b"1"})
    told = tmp_path / "told"
    code = DETACHES.format(told=str(told)) + end

    outcome = follow(gate=gate(code), gate_timeout=5.0).reconcile_once()

    assert outcome.result is result
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_a_gate_ends_with_its_service_and_what_it_did_is_found_at_the_next_start(
    origin: Origin, follow: Follow, look: Look, tmp_path: Path
) -> None:
    good = origin.publish({"same": b"same", "a": b"1"})
    worker = follow()
    worker.reconcile_once()
    origin.publish({"same": b"same", "a": b"2"})
    told = tmp_path / "told"
    published = in_place(repr(str(worker.mirror.link.resolve())), code=0)
    code = f"{published.rpartition(';')[0]}\n{DETACHES.format(told=str(told))}time.sleep(600)"
    service = (
        "from nbpipe.publishing.reconcile import Reconciler\n"
        "from nbpipe.config.settings import CollectionSettings\n"
        f"settings = CollectionSettings(name='notebooks-latest', origin={str(origin.path)!r}, "
        f"root={str(tmp_path / 'srv')!r}, protocols=('file',), gate={gate(code)!r})\n"
        "Reconciler(settings).reconcile_once()"
    )
    with subprocess.Popen([sys.executable, "-c", service]) as process:
        until(lambda: told.exists() and told.read_text())
        process.kill()
    until(lambda: not alive(int(told.read_text())))
    assert (worker.mirror.link / "same").read_bytes() == b"gate"

    outcome = follow(gate=gate("raise SystemExit(1)")).reconcile_once()

    assert outcome.current == good
    assert look(worker.mirror.link) == {"same": b"same", "a": b"1"}


def until(true: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_gate_sees_no_secret_of_another_table(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.publish({"a": b"1"})
    secrets = ("BEACON", "OTHERS", "PAGES", "HOOK", "MAIL", "DATABASE", "GITHUB_TOKEN")
    for name in (*secrets, "OPERATORS_OWN"):
        monkeypatch.setenv(name, f"the value of {name}")
    seen = tmp_path / "seen"
    code = f"import os; open({str(seen)!r}, 'w').write(' '.join(os.environ))"
    other = '[[collection]]\nname = "other"\norigin = "https://example.org/o/r.git"\n'
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f'[[collection]]\nname = "it"\norigin = "{origin.path}"\nroot = "{tmp_path}/srv"\n'
        f'protocols = ["file"]\nsecrets = ["env:BEACON"]\n'
        f"gate = {json.dumps(list(gate(code)))}\n"
        f'{other}root = "{tmp_path}/srv"\ntoken = "env:OTHERS"\n'
        '[webhook]\ntoken = "env:PAGES"\n[notify]\nwebhook = "env:HOOK"\n'
        '[notify.email]\npassword = "env:MAIL"\n[history]\nurl = "env:DATABASE"\n'
        '[github]\nname = "tests"\n'
    )

    ended = CliRunner().invoke(publish, ["it", "--config", str(file)])

    assert ended.exit_code == 0, ended.output
    there = set(seen.read_text().split())
    assert there.isdisjoint(secrets)
    assert {"OPERATORS_OWN", "PATH", "NBPIPE_COMMIT"} <= there
