"""The ways in which converted rules are known never to match, and which of them a translation of this rule comes near.

Each says what goes wrong in the usual conversion, whether the text beside it is mended, and what is left to its reader. This module must
never write a query.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.logic.match import key_of
from harness.logic.needs import kinds
from harness.model.intent import Rule
from harness.model.translation import Trap
from harness.translate.backends import Query
from harness.translate.ecs_names import ADDRESSES, BOOLEANS, NUMBERS, is_filtering
from harness.translate.parts import fields_asked
from harness.translate.said import is_correlation, tactics

_FILTERED = ("DestPort", "SourcePort", "DestAddress", "SourceAddress", "Application")

_ALIKE = frozenset(["network.direction", "event.code", "winlog.channel"])
"""Fields whose values are always written the same way, so that their case is no matter."""

CORRELATION = Trap(
    name="correlation",
    what="Lucene has no correlations, and pySigma's EQL of one is malformed or loses its time span.",
    remedy="Put the rules that it refers to into the SIEM, and correlate there; `harness replay` evaluates what it can.",
    mended=False,
)


def of_lucene(rule: Rule, query: Query) -> Iterator[Trap]:
    """Those of a Lucene query over ECS."""
    yield from _direction(rule)
    yield from _caseless(rule, query)
    texts = sorted({each.name for each in query.asked if each.letters and each.name not in _ALIKE and not each.name.endswith(".caseless")})
    if texts:
        yield Trap(
            name="case",
            what=f"Sigma does not mind the case of letters; a query on a keyword field does: {', '.join(texts)}.",
            remedy="Use the EQL translation, or map these fields with a lowercase normalizer. (An ES|QL conversion minds it too.)",
            mended=False,
        )
    typed = sorted({each.name for each in query.asked if each.pattern and each.name in NUMBERS | ADDRESSES | BOOLEANS})
    if typed:
        yield Trap(
            name="numbers",
            what=f"It asks by a pattern for {', '.join(typed)}: Elasticsearch takes none on numbers and addresses, and refuses the query.",
            remedy="Ask for the values or networks themselves; or use the EQL translation.",
            mended=False,
        )
    yield from _filtering(rule)


def of_eql(rule: Rule, names: frozenset[str]) -> Iterator[Trap]:
    """Those of an EQL query, by the ECS fields that it asks for."""
    yield from _direction(rule)
    typed = sorted(names & (NUMBERS | ADDRESSES | BOOLEANS))
    if typed:
        yield Trap(
            name="numbers",
            what=f"pySigma's EQL compares with `like~` whatever the field, which is no valid query on {', '.join(typed)}.",
            remedy="Nothing: here they are compared as what they are.",
            mended=True,
        )
    yield from _filtering(rule)


def of_filter(rule: Rule) -> Iterator[Trap]:
    """Those of a filter of Elasticsearch's query DSL."""
    yield from _direction(rule)
    yield from _parents_name(rule)
    yield Trap(
        name="case",
        what="Sigma does not mind the case of letters; a query string on a keyword field does, and finds nothing written otherwise.",
        remedy="Nothing: here each pattern is asked without regard to case, where the rule does so.",
        mended=True,
    )
    if "data" in {key_of(each) for each in fields_asked(rule.logic)}:
        yield Trap(
            name="unnamed strings",
            what="winlogbeat has no `Data`: a classic event's unnamed strings are param1, param2 and so on.",
            remedy="Nothing: here param1 to param9 are asked. Where a pipeline takes them apart, map `message` as wildcard.",
            mended=True,
        )
    yield from _filtering(rule)


def of_detection_rule(rule: Rule) -> Iterator[Trap]:
    """Those of a rule to be imported."""
    if rule.techniques or tactics(rule):
        yield Trap(
            name="ATT&CK download",
            what="pySigma's `siem_rule` outputs download ATT&CK, and fail without a network.",
            remedy="Nothing is downloaded here; techniques bear their ids as names, and each stands under every tactic.",
            mended=True,
        )


def _direction(rule: Rule) -> Iterator[Trap]:
    if "initiated" in fields_asked(rule.logic):
        yield Trap(
            name="direction",
            what="`Initiated: 'true'` usually becomes `network.direction:true`, which never matches: winlogbeat stores egress and ingress.",
            remedy="Nothing: here true asks for egress, and false for ingress.",
            mended=True,
        )


def _caseless(rule: Rule, query: Query) -> Iterator[Trap]:
    names = sorted({each.name for each in query.asked if each.name.endswith(".caseless")})
    if names:
        yield Trap(
            name="caseless fields",
            what=f"The query asks for {', '.join(names)}: no event matches until the index has them.",
            remedy="Add `caseless` to the mapping (a keyword sub-field with a lowercase normalizer), or use the EQL translation.",
            mended=False,
        )
    yield from _parents_name(rule)


def _parents_name(rule: Rule) -> Iterator[Trap]:
    if "parentprocessname" in {key_of(each) for each in fields_asked(rule.logic)}:
        yield Trap(
            name="parent's name",
            what="4688's ParentProcessName is usually converted to `process.parent.name`, a base name, while the event has a full path.",
            remedy="Nothing: here `process.parent.executable` is asked.",
            mended=True,
        )


def _filtering(rule: Rule) -> Iterator[Trap]:
    asked = {key_of(name) for name in fields_asked(rule.logic)}
    if any(is_filtering(*kind) for kind in kinds(rule.logic)) and asked & {key_of(name) for name in _FILTERED}:
        yield Trap(
            name="unmapped 5156",
            what="winlogbeat probably leaves 5156's addresses and ports in winlog.event_data, while converted rules ask ECS fields.",
            remedy="Nothing: here both places are asked.",
            mended=True,
        )


def of_correlation(rule: Rule) -> tuple[Trap, ...]:
    """The one that every language but a few falls into."""
    return (CORRELATION,) if is_correlation(rule) else ()
