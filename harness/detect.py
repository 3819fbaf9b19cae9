"""Rules over a stream of events: the engine of the embedded SIEM and of replay.

It keeps nothing of an event once it is answered, and must never know where events come from or what becomes of a match.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.errors import RuleTooSlow
from harness.logic.index import FALSE, within_kind
from harness.logic.match import Predicate, View, compile_node, fold
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, Kind, kinds
from harness.model.facts import Event
from harness.model.intent import Rule


class Detector:
    """Rules, indexed by the kinds of event that each can read, so that an event meets only the rules that are about it.

    For each kind that turns up, the rules are compiled once more without what the kind has answered already.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Raises `harness.logic.match.BadValue` where a rule's tree holds a value that its operation does not take."""
        self._rules = tuple(rules)
        self._index: dict[Kind, list[int]] = {}
        self._left_out: set[int] = set()
        self._compiled: dict[tuple[str, int], tuple[tuple[Rule, Predicate], ...]] = {}
        for number, rule in enumerate(self._rules):
            compile_node(rule.logic)  # a value that cannot be asked for is found now, not at the first event of its kind
            for kind in kinds(rule.logic):
                self._index.setdefault(kind, []).append(number)

    def matches(self, event: Event) -> Iterable[Rule]:
        """The rules that this event satisfies, in the order in which the rules were given.

        Raises `RuleTooSlow`, naming the rule, when it comes to one whose regular expression does not end in its time on this event.
        """
        compiled = self._compiled.get((event.channel, event.event_id))
        if compiled is None:
            compiled = self._compiled[event.channel, event.event_id] = self._compile(event.channel, event.event_id)
        view = View(event.flat)
        for rule, predicate in compiled:
            try:
                satisfied = predicate(view)
            except RuleTooSlow as error:
                error.rule = rule.id
                raise
            if satisfied:
                yield rule

    def leave_out(self, rule_id: str) -> Rule:
        """The rule of this id, which no event is asked about any more. Its id must be among them."""
        number = next(number for number, rule in enumerate(self._rules) if rule.id == rule_id and number not in self._left_out)
        self._left_out.add(number)
        self._compiled.clear()
        return self._rules[number]

    def _compile(self, channel: str, event_id: int) -> tuple[tuple[Rule, Predicate], ...]:
        folded = fold(channel)
        every_kind = ((folded, event_id), (folded, ANY_EVENT_ID), (ANY_CHANNEL, event_id), (ANY_CHANNEL, ANY_EVENT_ID))
        numbers = sorted({number for kind in every_kind for number in self._index.get(kind, ())} - self._left_out)
        left = ((self._rules[number], within_kind(self._rules[number].logic, channel, event_id)) for number in numbers)
        return tuple((rule, compile_node(node)) for rule, node in left if node != FALSE)
