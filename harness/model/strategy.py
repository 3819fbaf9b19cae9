"""A detection strategy: what people wrote down about one rule beside its logic, and what of it can be held against facts.

The form is the well-known one of alerting and detection strategies. Its validation steps and blind spots name steps of scenarios, so that
a run proves or disproves them; its priority is a reading of an alert's events.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model.intent import Priority


class Tactic(StrEnum):
    """ATT&CK's tactics for enterprises, as Sigma's tags write them."""

    RECONNAISSANCE = "reconnaissance"
    RESOURCE_DEVELOPMENT = "resource-development"
    INITIAL_ACCESS = "initial-access"
    EXECUTION = "execution"
    PERSISTENCE = "persistence"
    PRIVILEGE_ESCALATION = "privilege-escalation"
    DEFENSE_EVASION = "defense-evasion"
    CREDENTIAL_ACCESS = "credential-access"
    DISCOVERY = "discovery"
    LATERAL_MOVEMENT = "lateral-movement"
    COLLECTION = "collection"
    COMMAND_AND_CONTROL = "command-and-control"
    EXFILTRATION = "exfiltration"
    IMPACT = "impact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A tactic, and the ATT&CK technique that serves it."""

    tactic: Tactic
    technique: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepName:
    """A step of a scenario. `number` counts from 1; None is the only step of a scenario that has one alone."""

    scenario: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A step that shows the rule at work, and what it shows."""

    step: StepName
    shows: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpot:
    """What the rule does not see: with a step that detonates it, or with the reason why none can."""

    what: str
    step: StepName | None = None
    not_detonable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One rule's detection strategy. `source` is the file's path; a section that was left out is empty."""

    id: str
    title: str
    source: str
    rule: str
    goal: str
    priority: Priority
    categorisation: tuple[Category, ...] = ()
    abstract: str = ""
    technical_context: str = ""
    validation: tuple[Validation, ...] = ()
    blind_spots: tuple[BlindSpot, ...] = ()
    assumptions: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()
    response: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
