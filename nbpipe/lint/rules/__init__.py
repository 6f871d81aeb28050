"""The rules of `nbpipe check`, by id; each module has those of one kind.

An id is never given to another rule. What a rule finds, why it matters, and what is better stands
beside its function, for `--explain` and for the documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.lint.rules import code, files, links, metadata, outputs, prose, secrets

if TYPE_CHECKING:
    from nbpipe.lint.findings import Rule

RULES: dict[str, Rule] = {
    rule.id: rule
    for module in (files, metadata, outputs, secrets, code, prose, links)
    for rule in module.RULES
}
"""Every rule, in the order of the ids."""
