"""Detection strategy files: YAML to `Strategy`, every error of a file at once, each with path, line and column.

A strategy stands beside rules, under the paths that rules are read from, and is about one of them. Whether what it says holds is asked
elsewhere (`harness.rules.strategy_lint`): this module must never know the rule, nor a scenario.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, ValidationInfo, field_validator
from pydantic.json_schema import WithJsonSchema

from harness.documents import Document, Loc, Place, parse_yaml, read_text
from harness.errors import Problem, UsageError
from harness.fields import Entry, HyphenId, Omittable, RuleId, Technique, Text, check, schema_of, wrong
from harness.logic.match import BadValue, compile_node
from harness.model.intent import Priority, PriorityLevel, Severity
from harness.model.strategy import BlindSpot, Category, StepName, Strategy, Tactic, Validation
from harness.model.tree import Node
from harness.rules.eql import parse_eql
from harness.rules.grammar import QueryError

SUFFIX = ".strategy.yml"

_SHORTEST_PREFIX = 4

_LONGEST_CONDITION = 8_000
_MOST_LEVELS = 20
_MOST_ENTRIES = 200
"""Others write strategies, and each entry is held against the rule: far more than any has, and no more than a few seconds' work."""


@dataclass(frozen=True, slots=True)
class _Condition:
    """A condition on one event, as it was written and as a tree."""

    text: str
    node: Node


def _condition(value: object) -> _Condition:
    fix = 'write an EQL condition on one event: process where process.name : "cmd.exe"'
    if not isinstance(value, str):
        raise wrong("condition", "must be text", fix)
    if len(value) > _LONGEST_CONDITION:
        raise wrong("condition", f"is longer than {_LONGEST_CONDITION} characters")
    try:
        query = parse_eql(value)
    except QueryError as error:
        where = f"line {error.line}, column {error.column} of it"
        raise wrong("condition", f"cannot be read as EQL: {error.what} ({where})", error.fix or fix) from None
    if query.pattern is not None:
        raise wrong("condition", "asks for several events; each event of an alert is asked by itself", fix)
    try:
        compile_node(query.logic)
    except BadValue as error:
        raise wrong("condition", f"cannot be asked: {error}") from None
    return _Condition(value.strip(), query.logic)


_CONDITION_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": _LONGEST_CONDITION,
    "description": "An EQL condition on one event of the alert.",
}
_When = Annotated[InstanceOf[_Condition], BeforeValidator(_condition), WithJsonSchema(_CONDITION_SCHEMA)]
_Texts = Annotated[tuple[Text, ...], Field(max_length=_MOST_ENTRIES)]
_Number = Annotated[int, Field(strict=True, ge=1)]


class _Category(Entry):
    """A tactic and a technique of ATT&CK."""

    tactic: Tactic
    technique: Technique


class _Validation(Entry):
    """A step of a scenario that shows the rule at work."""

    scenario: HyphenId
    step: Annotated[_Number | None, Omittable(), Field(description="The step's number; left out where the scenario has one alone.")] = None
    shows: Text


class _BlindSpot(Entry):
    """What the rule does not see, with a step that detonates it, or the reason why none can."""

    what: Text
    scenario: Annotated[HyphenId | None, Omittable()] = None
    step: Annotated[_Number | None, Omittable()] = None
    not_detonable: Annotated[Text | None, Omittable(), Field(description="Why no step can detonate it.")] = None

    @field_validator("step")
    @classmethod
    def _of_a_scenario(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("scenario") is None:
            raise wrong("step", "is a step of no scenario", "name its scenario, too")
        return value


class _Level(Entry):
    """A priority that one of the alert's events can give."""

    level: Severity
    when: _When
    because: Text


class _Priority(Entry):
    """How soon people should look at an alert."""

    default: Severity
    levels: Annotated[tuple[_Level, ...], Field(max_length=_MOST_LEVELS)] = ()


class _StrategyFile(Entry):
    """A detection strategy: what is known about one rule beside its logic."""

    id: Annotated[HyphenId, Field(max_length=80)]
    title: Text
    rule: RuleId
    goal: Text
    categorisation: Annotated[tuple[_Category, ...], Field(max_length=_MOST_ENTRIES)] = ()
    abstract: Annotated[Text | None, Omittable(), Field(description="How the rule reaches the goal.")] = None
    technical_context: Annotated[Text | None, Omittable()] = None
    validation: Annotated[tuple[_Validation, ...], Field(max_length=_MOST_ENTRIES)] = ()
    blind_spots: Annotated[tuple[_BlindSpot, ...], Field(max_length=_MOST_ENTRIES)] = ()
    assumptions: _Texts = ()
    false_positives: _Texts = ()
    priority: _Priority
    response: _Texts = ()
    references: _Texts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFile:
    """A strategy and where each part of it was written."""

    strategy: Strategy
    document: Document

    def place(self, loc: Loc) -> Place:
        """Where the part was written, or what it would belong to."""
        return self.document.place(loc)


def is_strategy(path: Path) -> bool:
    """Whether the file says by its name that it is a detection strategy."""
    return path.name.endswith(SUFFIX)


def load_strategies(paths: Sequence[Path]) -> tuple[tuple[StrategyFile, ...], tuple[Problem, ...]]:
    """The strategies among these paths and in those that are directories, and what is wrong with those that cannot be read.

    The paths are those of rules: what is no strategy is passed over. An id, and a rule, may have one strategy alone.
    """
    found: list[StrategyFile] = []
    problems: list[Problem] = []
    for path in dict.fromkeys(_files(paths)):
        try:
            document = parse_yaml(read_text(path), str(path))
        except UsageError as error:
            problems.extend(error.problems)
            continue
        entry, wrongs = check(_StrategyFile, document)
        problems.extend(sorted(wrongs, key=lambda problem: (problem.line, problem.column)))
        if entry is not None:
            made = StrategyFile(strategy=_strategy(entry, str(path)), document=document)
            repeated = list(_repeated(made, found))
            problems.extend(repeated)
            if not repeated:
                found.append(made)
    return tuple(found), tuple(problems)


def find_strategy(files: Iterable[StrategyFile], name: str) -> StrategyFile | None:
    """The strategy with this id, or an id that begins so and no other does, or this title; None where there is none."""
    asked = name.lower()
    exact = [file for file in files if asked in (file.strategy.id, file.strategy.title.lower())]
    begun = [file for file in files if len(asked) >= _SHORTEST_PREFIX and file.strategy.id.startswith(asked)]
    found = exact or begun
    return found[0] if len(found) == 1 else None


def strategy_schema() -> dict[str, Any]:
    """The JSON schema of a strategy file, for editors."""
    return schema_of(_StrategyFile, "harness detection strategy")


def _files(paths: Sequence[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob(f"*{SUFFIX}"))
        elif is_strategy(path):
            yield path


def _repeated(made: StrategyFile, before: Sequence[StrategyFile]) -> Iterable[Problem]:
    for key in ("id", "rule"):
        value = getattr(made.strategy, key)
        if first := next((file for file in before if getattr(file.strategy, key) == value), None):
            fix = "give each strategy its own id" if key == "id" else "write one strategy a rule"
            yield made.place((key,)).problem(f"{key} {value!r} has a strategy already: {first.strategy.source}", fix)


def _strategy(entry: _StrategyFile, source: str) -> Strategy:
    levels = (
        PriorityLevel(level=item.level, when=item.when.node, text=item.when.text, because=item.because.strip())
        for item in entry.priority.levels
    )
    return Strategy(
        id=entry.id,
        title=entry.title,
        source=source,
        rule=entry.rule,
        goal=entry.goal.strip(),
        priority=Priority(default=entry.priority.default, levels=tuple(levels)),
        categorisation=tuple(Category(tactic=item.tactic, technique=item.technique) for item in entry.categorisation),
        abstract=(entry.abstract or "").strip(),
        technical_context=(entry.technical_context or "").strip(),
        validation=tuple(
            Validation(step=StepName(scenario=item.scenario, number=item.step), shows=item.shows.strip()) for item in entry.validation
        ),
        blind_spots=tuple(_blind_spot(item) for item in entry.blind_spots),
        assumptions=_stripped(entry.assumptions),
        false_positives=_stripped(entry.false_positives),
        response=_stripped(entry.response),
        references=_stripped(entry.references),
    )


def _blind_spot(entry: _BlindSpot) -> BlindSpot:
    return BlindSpot(
        what=entry.what.strip(),
        step=StepName(scenario=entry.scenario, number=entry.step) if entry.scenario is not None else None,
        not_detonable=entry.not_detonable.strip() if entry.not_detonable is not None else None,
    )


def _stripped(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts)
