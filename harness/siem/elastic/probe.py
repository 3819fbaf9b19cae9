"""The query probe: for a rule that no detection engine runs, its own query put to Elasticsearch by us.

It is no alert source, and what it finds is no alert: it answers which events of the watched hosts satisfy the query, whenever it is asked
and over all of them, and so tells whoever writes a rule whether it would find anything, before it is deployed. Only ids are asked for:
the events themselves come with the same sweeps. It must never know how a rule becomes a query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.model.facts import Probe
from harness.siem.elastic.source import all_of
from harness.siem.elastic.wire import Answer, Search

NAME = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A rule as query DSL: a filter for each event that it is about. `refusal` is why there is none."""

    filters: tuple[Mapping[str, Any], ...] = ()
    refusal: str = ""


class QueryProbe:
    """Puts rules' queries to the indices that events are in. `question_of` makes one of a rule's id; each rule is asked for once."""

    def __init__(self, index: str, question_of: Callable[[str], Question]) -> None:
        self._index = index
        self._question_of = question_of
        self._questions: dict[str, Question] = {}

    def refusal(self, rule: str) -> str:
        """Why the rule cannot be probed; nothing where it can."""
        return self._question(rule).refusal

    def searches(self, rules: Sequence[str], hosts: Sequence[Mapping[str, Any]]) -> Sequence[Search]:
        """What finds the ids of all events that satisfy these rules' queries; `hosts` are queries for the hosts, some in each."""
        return [
            Search(index=self._index, query=all_of(of_hosts, asked), fields=("@timestamp",), optional=True)
            for rule in rules
            for asked in self._question(rule).filters
            for of_hosts in hosts
        ]

    def read(
        self, answers: Sequence[Answer], rules: Sequence[str], hosts: Sequence[Mapping[str, Any]], since: datetime, asked_at: datetime
    ) -> Sequence[Probe]:
        """The answers to `searches` of the same rules and hosts. What was refused is not asked again: it would be refused again."""
        left = iter(answers)
        probes = []
        for rule in rules:
            parts = [[next(left) for _ in hosts] for _ in self._question(rule).filters]
            refused = self.refusal(rule) or next((answer.refused for part in parts for answer in part if answer.refused), "")
            if refused:
                self._questions[rule] = Question(refusal=refused)
            found = tuple(frozenset(hit["_id"] for answer in part for hit in answer.hits) for part in parts)
            probes.append(Probe(rule=rule, since=since, asked_at=asked_at, found=found, refused=refused))
        return probes

    def _question(self, rule: str) -> Question:
        if rule not in self._questions:
            self._questions[rule] = self._question_of(rule)
        return self._questions[rule]
