"""Which rule languages there are: the one place that names their loaders.

Whoever loads rules asks here, so that a language is known everywhere as soon as it is known at all. It must never know what any of them
says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.errors import Problem, UsageError
from harness.model.intent import Rule
from harness.ports import RuleSource
from harness.rules.elastic import ElasticRules
from harness.rules.eql_file import EqlFiles
from harness.rules.sigma import SigmaRules

_SOURCES: Mapping[str, type[RuleSource]] = {"sigma": SigmaRules, "elastic": ElasticRules, "eql": EqlFiles}
"""By what a rule is written as (`Rule.written_as`)."""


def rule_sources() -> tuple[RuleSource, ...]:
    """A loader of each language."""
    return tuple(source() for source in _SOURCES.values())


def parse_rules(written_as: str, text: str, source: str) -> Iterable[Rule]:
    """The rules of a text that is known to be written so; `source` is named in errors. Raises `UsageError`."""
    loader = _SOURCES.get(written_as)
    if loader is None:
        raise UsageError(Problem(path=source, what=f"the rule format {written_as!r} is not read here", fix=f"one of {', '.join(_SOURCES)}"))
    return loader().parse(text, source)
