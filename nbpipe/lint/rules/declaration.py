"""How a rule is declared: a decorator that puts a function into its module's list."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from nbpipe.lint.findings import Default, Fix, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.findings import Spot
    from nbpipe.lint.notebook import Notebook

    Look = Callable[[Notebook, CheckSettings], Iterator[Spot]]


class Rules(list[Rule]):
    """The rules of a module."""

    def add(  # noqa: PLR0913  (what a rule is, each by its keyword)
        self,
        number: int,
        name: str,
        severity: str = "warning",
        default: str = "on",
        fix: str = "none",
        *,
        why: str,
        bad: str,
        good: str,
    ) -> Callable[[Look], Look]:
        """Return a decorator: its function is what looks, its docstring the summary."""

        def declare(look: Look) -> Look:
            self.append(
                Rule(
                    id=f"NBP{number:03}",
                    name=name,
                    summary=inspect.getdoc(look) or "",
                    severity=Severity(severity),
                    default=Default(default),
                    fix=Fix(fix),
                    why=why,
                    bad=bad,
                    good=good,
                    look=look,
                )
            )
            return look

        return declare
