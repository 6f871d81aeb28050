"""Events in words: a subject, plain text, Slack's text, Markdown, JSON.

What comes from notebooks is plain text here (no control characters), and escaped where a format
has characters of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbpipe.reports.markdown import span
from nbpipe.system.text import cut, encodable, first_line, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.notify.events import Event, Occasion

SHOWN = 50
"""Events of one kind that are listed."""
_DETAIL = 500
"""Characters of one event's detail."""
_SLACK = 3_500
"""Characters; Slack shows 4,000 in one piece."""

_TITLES = {
    "failing": "Newly failing",
    "still-failing": "Still failing",
    "recovered": "Recovered",
    "refused": "Not published: it needs a person",
    "stale": "Not up to date: the origin is not reached",
    "published": "Published again",
    "test": "A test",
}
_SHORT = {
    "failing": "newly failing",
    "still-failing": "still failing",
    "recovered": "recovered",
    "refused": "refused",
    "stale": "stale",
    "published": "published again",
    "test": "test message",
}


def subject(events: Sequence[Event]) -> str:
    """Return one line: `nbpipe: 2 newly failing, 1 recovered`."""
    numbers = [(sum(each.kind == kind for each in events), text) for kind, text in _SHORT.items()]
    told = ", ".join(f"{number:,} {text}" for number, text in numbers if number)
    return f"nbpipe: {told}"


def text(events: Sequence[Event], occasion: Occasion) -> str:
    """Return everything as plain text."""
    parts = [f"{subject(events)}\n"]
    for title, group, more in _groups(events):
        lines = [f"  {plain_name(each.subject)}{_tail(each)}" for each in group]
        parts.append("\n".join([f"{title}:", *lines, *([f"  {more}"] if more else [])]) + "\n")
    return encodable("\n".join([*parts, _where(occasion)]))


def markdown(events: Sequence[Event], occasion: Occasion) -> str:
    """Return everything as GitHub's Markdown."""
    parts = []
    for title, group, more in _groups(events):
        lines = [f"- {span(plain_name(each.subject))}{_marked_tail(each)}" for each in group]
        rest = [f"- {more}"] if more else []
        parts.append("\n".join([f"### {title}: {len(group):,}", "", *lines, *rest]) + "\n")
    told = f"{span(occasion.about)} on {span(occasion.host)}"
    commit = f", commit {span(occasion.commit[:12])}" if occasion.commit else ""
    return "\n".join([*parts, f"{told}{commit}. {span(occasion.next) if occasion.next else ''}\n"])


def slack(events: Sequence[Event], occasion: Occasion) -> dict[str, Any]:
    """Return the message for an incoming webhook.

    Source: Slack, "Formatting text for app surfaces": `&`, `<` and `>` are escaped.
    """
    whole = cut(text(events, occasion), _SLACK)
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        whole = whole.replace(character, escaped)
    return {"text": whole}


def document(events: Sequence[Event], occasion: Occasion) -> bytes:
    """Return everything as JSON, for a program."""
    told = {
        "format": 1,
        "subject": subject(events),
        "text": text(events, occasion),
        "about": encodable(occasion.about),
        "host": occasion.host,
        "commit": occasion.commit,
        "events": [
            {
                "kind": each.kind,
                "subject": encodable(each.subject),
                "detail": encodable(each.detail),
                "run": each.run,
            }
            for each in events
        ],
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _groups(events: Sequence[Event]) -> list[tuple[str, list[Event], str]]:
    """Return title, the events that are listed, and a word about the others, for each kind."""
    found = []
    for kind, title in _TITLES.items():
        group = [each for each in events if each.kind == kind]
        if group:
            left = len(group) - SHOWN
            found.append((title, group[:SHOWN], f"and {left:,} more" if left > 0 else ""))
    return found


def _tail(event: Event) -> str:
    return f"  {first_line(event.detail, _DETAIL)}" if event.detail else ""


def _marked_tail(event: Event) -> str:
    return f": {span(first_line(event.detail, _DETAIL))}" if event.detail else ""


def _where(occasion: Occasion) -> str:
    commit = f", commit {occasion.commit[:12]}" if occasion.commit else ""
    more = f"More: {occasion.next}\n" if occasion.next else ""
    return f"{plain_name(occasion.about)} on {plain_name(occasion.host)}{commit}\n{more}"
