"""What became of a copy: every path under the word that says it. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """One run of getlatest, while it grows and at its end; paths with `/`, relative to the copy."""

    folder: str
    source: str
    release: str
    """The commit."""
    dry_run: bool = False
    prune: bool = False
    made: bool = False
    """The folder is new."""
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    """Up to date already."""
    kept: list[str] = field(default_factory=list)
    """Changed by the user only."""
    beside: list[tuple[str, str]] = field(default_factory=list)
    """The user's file, and the name under which the release's lies beside it."""
    executed: list[tuple[str, str]] = field(default_factory=list)
    """A notebook that was updated, and the name under which the user's run of it is kept."""
    replaced: list[str] = field(default_factory=list)
    """Files of an older release that lay beside the user's, unchanged, and went."""
    pruned: list[str] = field(default_factory=list)
    """Deleted upstream, unchanged, and removed as asked for."""
    pointers: list[str] = field(default_factory=list)
    """Git LFS pointers: what stands for a large file, and is not its content."""
    gone: list[str] = field(default_factory=list)
    """Deleted upstream; still here."""
    stays_deleted: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """What a copy never holds (a submodule, a link out of the collection), and why."""
    warning: str = ""
    """Why the release may not be the newest one."""
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """What could not be brought up to date, and why."""

    @property
    def changed(self) -> bool:
        """Whether anything was (or would be) written."""
        return bool(self.added or self.updated or self.restored or self.beside or self.pruned)
