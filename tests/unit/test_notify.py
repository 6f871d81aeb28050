"""What is told, to whom, and never twice: with a real history, mail server, webhook and command."""

from __future__ import annotations

import base64
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pasts import FAILURE, opened, past_run, record, result
from receivers import PASSWORD, Hook, Mailbox, certificate, mail_server, webhook

from nbpipe import cli
from nbpipe.notify import changes, delivery, message_texts, mirror_changes
from nbpipe.notify.events import Event, Occasion
from nbpipe.publishing.health import Health, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.history import History
    from nbpipe.notify.memory import Memory

OCCASION = Occasion(about="/c", host="here", commit="c0ffee", next="nbpipe show r1")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with opened(f"sqlite:///{tmp_path / 'h.sqlite'}", tmp_path, collection="c") as past:
        yield past


def told(history: History, outcomes: str, *, still_after: int = 3) -> list[tuple[str, str]]:
    """Record a notebook's outcomes, one run each; return what each run changed."""
    names = {".": "passed", "F": "failed", "~": "flaky", "s": "skipped"}
    found = []
    for number, mark in enumerate(outcomes):
        run = past_run(f"r{number:02}", days=number)
        record(history, run, result("a.ipynb", names[mark]))
        events = changes.of_run(history, run, still_after=still_after, flaky="pass")
        found += [(run.id, each.kind) for each in events]
    return found


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("...", []),
        (".F", [("r01", "failing")]),
        ("F", [("r00", "failing")]),
        ("F.", [("r00", "failing"), ("r01", "recovered")]),
        ("FFFF.", [("r00", "failing"), ("r02", "still-failing"), ("r04", "recovered")]),
        ("FsF", [("r00", "failing")]),
        ("Fs.", [("r00", "failing"), ("r02", "recovered")]),
        (".~.", []),
        ("F~", [("r00", "failing"), ("r01", "recovered")]),
    ],
)
def test_only_a_change_is_an_event(
    history: History, outcomes: str, expected: list[tuple[str, str]]
) -> None:
    assert told(history, outcomes) == expected


def test_an_event_says_the_cause_and_how_long_it_was(history: History) -> None:
    record(history, past_run("r1"), result("a.ipynb", "failed"), result("b.ipynb", "failed"))
    record(history, past_run("r2", days=1), result("a.ipynb", "passed"))
    first, second = past_run("r1"), past_run("r2", days=1)
    events = changes.of_run(history, first, still_after=3, flaky="pass")
    assert [(each.subject, each.detail) for each in events] == [
        ("a.ipynb", "ModuleNotFoundError: No module named 'x'"),
        ("b.ipynb", "ModuleNotFoundError: No module named 'x'"),
    ]
    (recovered,) = changes.of_run(history, second, still_after=3, flaky="pass")
    assert (recovered.kind, recovered.detail) == ("recovered", "after 1 run")


def test_a_notebook_that_failed_long_ago_is_not_newly_failing(history: History) -> None:
    record(history, past_run("r00"), result("a.ipynb", "failed"))
    for number in range(1, 30):
        record(history, past_run(f"r{number:02}", days=number), result("b.ipynb", "passed"))
    run = past_run("r30", days=30)
    record(history, run, result("a.ipynb", "failed"))
    assert changes.of_run(history, run, still_after=5, flaky="pass") == []


def test_words_are_plain_whatever_a_notebook_says(history: History) -> None:
    failure = replace(FAILURE, signature="\x1b[31m<!channel> & `x`\nBcc: a@b")
    record(history, past_run("r1"), result("a\nb.ipynb", "failed", failures=(failure,)))
    events = changes.of_run(history, past_run("r1"), still_after=3, flaky="pass")
    assert "\x1b" not in message_texts.text(events, OCCASION)
    assert "a\\nb.ipynb" in message_texts.text(events, OCCASION)
    assert "&lt;!channel&gt; &amp; `x`" in message_texts.slack(events, OCCASION)["text"]
    assert "`` <!channel> & `x` ``" in message_texts.markdown(events, OCCASION)
    assert message_texts.subject(events) == "nbpipe: 1 newly failing"


def test_ten_thousand_failures_make_a_small_message() -> None:
    events = [Event(kind="failing", subject=f"{n}.ipynb", key=f"{n}") for n in range(10_000)]
    text = message_texts.text(events, OCCASION)
    assert "and 9,950 more" in text
    assert len(text) < 5_000
    assert len(message_texts.slack(events, OCCASION)["text"]) < 4_000


class Site:
    """A configuration with a mail server, a webhook and a command, and the command line."""

    def __init__(self, root: Path, mailbox: Mailbox, hook: Hook) -> None:
        self.root = root
        self.mailbox = mailbox
        self.hook = hook
        self.sink = root / "sink"
        self.write(f'[notify.email]\nto = ["a@example.org"]\nport = {mailbox.port}\n')

    def write(self, email: str, *, command: str = "", more: str = "") -> None:
        program = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"
        words = command or json.dumps([sys.executable, "-c", program, str(self.sink)])
        history = f'[history]\nurl = "sqlite:///{self.root}/h.sqlite"\ncollection = "c"\n'
        notify = f'[notify]\nwebhook = "env:HOOK"\nstill-after = 3\ncommand = {words}\n'
        (self.root / "nbpipe.toml").write_text(history + notify + email + more)

    @property
    def commands(self) -> list[Any]:
        """What the command was told."""
        return [json.loads(line) for line in self.sink.read_text().splitlines()]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with ExitStack() as stack:
        mailbox, hook = stack.enter_context(mail_server()), stack.enter_context(webhook())
        monkeypatch.setenv("HOOK", hook.url)
        yield Site(tmp_path, mailbox, hook)


def test_a_change_is_told_once_on_every_channel(
    site: Site, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    record(history, past_run("r1"), result("a.ipynb", "failed"))
    assert cli.run(["notify"]) == 0
    assert capsys.readouterr().out == "sent: 1 change\n"
    assert cli.run(["notify"]) == 0
    assert capsys.readouterr().out == "nothing new to send\n"
    (mail,) = site.mailbox.mails
    assert mail["Subject"] == "nbpipe: 1 newly failing"
    assert mail["To"] == "a@example.org"
    assert "  a.ipynb  ModuleNotFoundError: No module named 'x'" in mail.get_content()
    assert "More: nbpipe show r1" in mail.get_content()
    assert len(site.hook.bodies) == 1
    assert site.hook.bodies[0]["text"].startswith("nbpipe: 1 newly failing\n")
    (given,) = site.commands
    assert given["format"] == 1
    assert given["events"] == [
        {
            "kind": "failing",
            "subject": "a.ipynb",
            "detail": "ModuleNotFoundError: No module named 'x'",
            "run": "r1",
        }
    ]


def test_what_is_not_taken_is_told_the_next_time_and_others_are_told_at_once(
    site: Site, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    site.mailbox.refuses = True
    site.hook.status = 500
    record(history, past_run("r1"), result("a.ipynb", "failed"))
    assert cli.run(["notify"]) == 1
    err = capsys.readouterr().err
    assert f"not sent: email: localhost:{site.mailbox.port}: 451 4.7.1 Try again later" in err
    assert "not sent: webhook: 127.0.0.1 answers 500" in err
    assert "verysecret" not in err
    assert len(site.commands) == 1
    site.mailbox.refuses = False
    site.hook.status = 200
    record(history, past_run("r2", days=1), result("a.ipynb", "passed"))
    assert cli.run(["notify"]) == 0
    subjects = [mail["Subject"] for mail in site.mailbox.mails]
    assert subjects == ["nbpipe: 1 newly failing", "nbpipe: 1 recovered"]
    assert len(site.hook.bodies) == 2
    assert len(site.commands) == 2


def test_a_test_message_goes_to_every_channel_each_time(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert cli.run(["notify", "--test"]) == 0
    assert capsys.readouterr().out == "email: sent\nwebhook: sent\ncommand: sent\n" * 2
    assert [mail["Subject"] for mail in site.mailbox.mails] == ["nbpipe: 1 test message"] * 2


def test_a_test_message_tells_what_is_wrong(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write('[notify.email]\nto = ["a@b.org"]\nport = 1\n', command='["/no/such"]')
    monkeypatch.setenv("HOOK", "http://example.org/verysecret")
    assert cli.run(["notify", "--test"]) == 1
    err = capsys.readouterr().err
    assert "email: localhost:1: [Errno 111] Connection refused" in err
    assert "[notify] webhook: what env:HOOK holds is not an https address" in err
    assert "command: /no/such: No such file or directory" in err
    assert "verysecret" not in err


def test_show_prints_markdown_and_tells_nobody(
    site: Site, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    record(history, past_run("r1"), result("a.ipynb", "failed"))
    assert cli.run(["notify", "--show"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("## nbpipe: 1 newly failing\n\n### Newly failing: 1\n\n- `a.ipynb`: ")
    assert site.mailbox.mails == []
    record(history, past_run("r2", days=1), result("a.ipynb", "failed"))
    assert cli.run(["notify", "--show"]) == 0
    assert capsys.readouterr().out == ""


def test_without_a_channel_it_is_said_how_to_set_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["notify", "--test"]) == 4
    assert "[notify] has no recipients configured" in capsys.readouterr().err


def test_mail_is_encrypted_where_a_password_is_asked_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    monkeypatch.setenv("PASSWORD", PASSWORD)
    with mail_server(file) as mailbox:
        text = (
            f'[notify.email]\nto = ["a@b.org"]\nhost = "127.0.0.1"\nport = {mailbox.port}\n'
            'security = "starttls"\nuser = "u"\npassword = "env:PASSWORD"\n'
        )
        site.write(text)
        assert cli.run(["notify", "--test"]) == 0
        assert len(mailbox.mails) == 1
        monkeypatch.setenv("PASSWORD", "wrong and secret")
        assert cli.run(["notify", "--test"]) == 1
    captured = capsys.readouterr()
    assert "535 5.7.8 Authentication credentials invalid" in captured.err
    assert "wrong and secret" not in captured.out + captured.err


def health(state: State, **fields: Any) -> Health:  # noqa: ANN401
    given: dict[str, Any] = {
        "collection": "n",
        "state": state,
        "current": "c1",
        "wanted": "c2",
        "pinned": None,
        "since": 5.0,
        "error": "the gate said no",
        "fetched": 1.0,
        "attempt": 1.0,
        "failures": 1,
    }
    return Health(**(given | fields))


def test_a_collection_is_told_when_it_is_refused_and_when_it_is_well_again(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    sent: list[str] = []

    class Channel:
        name = "list"

        def send(self, events: Any, _: Occasion) -> None:  # noqa: ANN401
            sent.extend(f"{each.kind} {each.subject} {each.detail}" for each in events)

    def look(state: State, **fields: Any) -> None:  # noqa: ANN401
        def find(memory: Memory) -> list[Event]:
            return mirror_changes.of_collections(
                [health(state, **fields)], told=memory.open_troubles()
            )

        assert delivery.tell(find, OCCASION, [Channel()], file=file, now=1000.0)[1] == []

    look(State.OK)
    look(State.FAILING)
    look(State.FAILING, since=9.0)
    look(State.FAILING, wanted="c3")
    look(State.OK, current="c4")
    look(State.OK, current="c4")
    look(State.STALE, error=None, since=50.0)
    look(State.OK, current="c5")
    assert sent == [
        "refused n the gate said no",
        "refused n the gate said no",
        "published n c4",
        "stale n its origin has not been reached",
        "published n c5",
    ]


@pytest.mark.parametrize(
    "says",
    [
        "The requested URL {path} was not found.",
        "no_service: verysecret",
        "x" * 190 + " {path}",
        "<a href='{path}'>VERYSECRET</a>",
        "very\x1b[0msecret",
        r'{"path": "\/services\/T0\/B0\/verysecret"}',
        "%2Fservices%2FT0%2FB0%2Fverysecret",
        "first line\n\x1b]0;title\x07{path}\x1b[31m",
    ],
)
def test_an_address_that_its_host_repeats_stays_a_secret(
    site: Site, capsys: pytest.CaptureFixture[str], says: str
) -> None:
    site.hook.status, site.hook.says = 404, says
    assert cli.run(["notify", "--test"]) == 1
    err = capsys.readouterr().err
    assert "webhook: 127.0.0.1 answers 404" in err
    assert "verysec" not in err.lower()
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1


def test_an_address_that_is_none_is_not_repeated(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK", "https://[hooks.example.org/verysecret")
    assert cli.run(["notify", "--test"]) == 1
    err = capsys.readouterr().err
    assert "[notify] webhook: what env:HOOK holds is not an https address" in err
    assert "verysecret" not in err
    assert len(site.mailbox.mails) == 1


def test_an_answer_without_end_is_read_at_its_beginning_only(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.hook.status, site.hook.says = 500, "much " * 1_000_000
    assert cli.run(["notify", "--test"]) == 1
    assert len(capsys.readouterr().err) < 1_000


def test_what_a_command_repeats_of_its_arguments_stays_a_secret(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    program = "import sys; sys.exit(f'cannot reach {sys.argv[1:]}: no such host')"
    address = "https://chat.example.org/hooks/verysecret"
    words = [sys.executable, "-c", program, address, "--key=hunter2-hunter2", "-v"]
    site.write("", command=json.dumps(words))
    assert cli.run(["notify", "--test"]) == 1
    err = capsys.readouterr().err
    assert "ended with 1: cannot reach" in err
    assert "no such host" in err
    assert "verysecret" not in err
    assert "hunter2" not in err


def test_a_password_that_the_mail_server_repeats_stays_a_secret(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    monkeypatch.setenv("PASSWORD", PASSWORD)
    with mail_server(file) as mailbox:
        sent = base64.b64encode(f"\0u\0{PASSWORD}".encode()).decode()
        mailbox.refuses = True
        mailbox.says = f"451 u with {PASSWORD} ({sent}) may not send"
        site.write(
            f'[notify.email]\nto = ["a@b.org"]\nhost = "127.0.0.1"\nport = {mailbox.port}\n'
            'security = "starttls"\nuser = "u"\npassword = "env:PASSWORD"\n'
        )
        assert cli.run(["notify", "--test"]) == 1
    err = capsys.readouterr().err
    assert "451 u with *** (***) may not send" in err


def test_a_command_that_is_late_is_ended_with_what_it_started(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "timeout = 0.5\n"
    site.write("", command=f'["/bin/sh", "-c", "sleep 1000 & echo $! > {site.sink}; wait"]\n{more}')
    assert cli.run(["notify", "--test"]) == 1
    assert "command: /bin/sh: not done after 0.5 s" in capsys.readouterr().err
    pid = site.sink.read_text().strip() if site.sink.is_file() else ""
    status, limit = Path(f"/proc/{pid}/status"), time.monotonic() + 60
    while pid and status.exists() and "Z (zombie)" not in status.read_text():
        assert time.monotonic() < limit, "still there"
        time.sleep(0.01)
