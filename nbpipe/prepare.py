"""What is asked of a run -> its plan: the one way for the command line, Jupyter and jobs.

    config = options.applied(config.load(...))    the configuration, with what was asked instead
    plan = prepare(options, config, say=...)      what runs, in which order; why others do not

Who asks only fills in `RunOptions`. Running the plan is `nbpipe.runner`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbpipe import collecting, config, subset
from nbpipe.subset import Subset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.collecting import Selection
    from nbpipe.config import Config
    from nbpipe.model import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What somebody asks of one run, beside the configuration."""

    selection: Selection
    """Which notebooks."""
    replaced: Mapping[str, object] = field(default_factory=dict)
    """Settings of `[test]` in place of the configuration's, by the name of their field."""
    added: Mapping[str, Any] = field(default_factory=dict)
    """What is added to lists and tables of `[test]`, by the name of their field."""
    subset: Subset = field(default_factory=Subset)
    """Which of them this time."""
    maxfail: int = 0
    """Start nothing more after that many failures; 0: go on."""
    cluster: str | None = None
    """The profile or the address of other machines to run on; None: this one."""

    def applied(self, configuration: Config) -> Config:
        """Return the configuration with the settings that were asked for instead.

        Raises:
            UsageError: A value is not one that the configuration could hold.
        """
        return config.changed(configuration, replaced=self.replaced, added=self.added)


def prepare(
    options: RunOptions, config: Config, *, say: Callable[[str], None] = lambda _: None
) -> Plan:
    """Return what would run, in which order, and why each other notebook would not.

    Args:
        options: What is asked for.
        config: The configuration, with the options applied.
        say: Shows a line to a person: a pattern that matched nothing, which run is
            resumed.

    Raises:
        NothingPlanned: The selection leaves no notebook at all.
        HistoryError: The subset asks for what the history does not know.
        UsageError: Something that was asked for does not exist.
    """
    plan = collecting.plan(options.selection, config, kernels=collecting.installed_kernels())
    for pattern in plan.unmatched:
        say(f"nbpipe: warning: {pattern} matched no notebook")
    for warning in plan.warnings:
        say(f"nbpipe: warning: {warning}")
    return subset.narrowed(plan, config, options.subset, say=say)
