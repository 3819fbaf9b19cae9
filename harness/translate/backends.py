"""Sigma rules through pySigma's backends: Lucene over ECS and without a mapping, Splunk's SPL, Logpoint.

A rule is parsed anew for every variant and language, because conversion changes it. Every exception of pySigma ends here, as a
`NotExpressible` with its text. pySigma is imported with the first translation. This module must never know a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.logic.needs import Kind, kinds
from harness.model.intent import Rule
from harness.model.tree import And, Or
from harness.rules.sigma import LANGUAGE
from harness.rules.sigma.pipelines import fresh_pipeline, is_audited
from harness.translate.refusal import NotExpressible
from harness.translate.said import documents

if TYPE_CHECKING:
    from sigma.collection import SigmaCollection
    from sigma.conversion.base import Backend
    from sigma.processing.pipeline import ProcessingPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A field that a query asks for, under the language's name, and how: by a text with letters in it, by a pattern."""

    name: str
    letters: bool
    pattern: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query for each variant of the rule, what it asks for, and which mends changed it. `keywords`: it asks for a text anywhere."""

    variants: tuple[str, ...]
    did: frozenset[str]
    asked: frozenset[Asked]
    keywords: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a language is reached: the mends and mapping behind a variant's own pipeline, and the backend."""

    pipeline: ProcessingPipeline
    backend: Callable[[ProcessingPipeline], Backend]
    done: list[set[str]] = field(default_factory=list)


def lucene_over_ecs(rule: Rule) -> Query:
    """As winlogbeat and Elastic Agent store events. Raises `NotExpressible`."""
    from sigma.backends.elasticsearch.elasticsearch_lucene import LuceneBackend
    from sigma.pipelines.elasticsearch.windows import ecs_windows

    from harness.translate.mends import ecs_mends, lucene_regexes

    def way(label: str, read: frozenset[Kind]) -> _Way:
        mends, done = ecs_mends(read, sysmon=not is_audited(label) and any("sysmon" in channel for channel, _ in read))
        regexes, did = lucene_regexes()
        return _Way(pipeline=regexes + mends + _without(ecs_windows(), "winlog.channel"), backend=LuceneBackend, done=[*done, did])

    return _convert(rule, way)


def lucene_as_it_is(rule: Rule) -> Query:
    """Lucene over the event's own field names. Raises `NotExpressible`."""
    from sigma.backends.elasticsearch.elasticsearch_lucene import LuceneBackend

    from harness.translate.mends import lucene_regexes

    def way(label: str, read: frozenset[Kind]) -> _Way:
        regexes, did = lucene_regexes()
        return _Way(pipeline=regexes, backend=LuceneBackend, done=[did])

    return _convert(rule, way)


def splunk(rule: Rule) -> Query:
    """Splunk's SPL. Raises `NotExpressible`."""
    from sigma.backends.splunk.splunk import SplunkBackend
    from sigma.pipelines.splunk.splunk import splunk_windows_pipeline

    from harness.translate.mends import sources

    def way(label: str, read: frozenset[Kind]) -> _Way:
        mapping = splunk_windows_pipeline()  # type: ignore[no-untyped-call]
        return _Way(pipeline=sources("WinEventLog:") + _without(mapping, "source"), backend=SplunkBackend)

    return _convert(rule, way)


def logpoint(rule: Rule) -> Query:
    """Logpoint's search language. Raises `NotExpressible`."""
    from sigma.backends.logpoint.logpoint import Logpoint
    from sigma.pipelines.logpoint.windows import logpoint_windows_pipeline

    from harness.translate.mends import for_logpoint

    def way(label: str, read: frozenset[Kind]) -> _Way:
        return _Way(pipeline=for_logpoint() + _without(logpoint_windows_pipeline(), "channel"), backend=Logpoint)

    return _convert(rule, way)


def _without(pipeline: ProcessingPipeline, condition: str) -> ProcessingPipeline:
    """A mapping without the channels that it would add itself: they are there already, those among them that it does not know."""
    from sigma.processing.transformations import AddConditionTransformation

    def adds(transformation: object) -> bool:
        return isinstance(transformation, AddConditionTransformation) and condition in transformation.conditions

    pipeline.items = [item for item in pipeline.items if not adds(item.transformation)]
    return pipeline


def _convert(rule: Rule, way: Callable[[str, frozenset[Kind]], _Way]) -> Query:
    if rule.language != LANGUAGE:
        raise NotExpressible(f"this translation is made of Sigma rules, and the rule is in {rule.language}")
    found_documents = documents(rule)
    branches = rule.logic.items if isinstance(rule.logic, Or) else (rule.logic,)  # a variant is a conjunction that bears its name
    variants: list[str] = []
    did: set[str] = set()
    asked: set[Asked | None] = set()
    for branch in branches:
        label = branch.label if isinstance(branch, And) else ""
        with _refused():
            found = way(label, kinds(branch))
            backend = found.backend(fresh_pipeline(label) + found.pipeline)
            rules = _collection(found_documents)
            queries = backend.convert(rules)
            variants.append(_one(queries))
            did.update(*found.done)
            asked.update(_asked(rules))
    return Query(variants=tuple(variants), did=frozenset(did), asked=frozenset(each for each in asked if each), keywords=None in asked)


def _collection(found: tuple[dict[str, Any], ...]) -> SigmaCollection:
    from copy import deepcopy

    from sigma.collection import SigmaCollection

    return SigmaCollection.from_dicts(deepcopy(list(found)))


def _one(queries: object) -> str:
    """A rule's conditions are alternatives."""
    found = [str(query) for query in queries] if isinstance(queries, list) else [str(queries)]
    if not found or not all(query.strip() for query in found):
        raise NotExpressible("the converter made nothing of it")
    return found[0] if len(found) == 1 else " OR ".join(f"({query})" for query in found)


def _asked(rules: SigmaCollection) -> Iterator[Asked | None]:
    """What the converted rules ask for; None for a text anywhere."""
    from sigma.rule import SigmaRule
    from sigma.rule.detection import SigmaDetectionItem
    from sigma.types import SigmaRegularExpression, SigmaString

    todo: list[Any] = [detection for rule in rules.rules if isinstance(rule, SigmaRule) for detection in rule.detection.detections.values()]
    while todo:
        item = todo.pop()
        if not isinstance(item, SigmaDetectionItem):
            todo.extend(item.detection_items)
        elif item.field is None:
            yield None
        else:
            texts = [value for value in item.value if isinstance(value, SigmaString | SigmaRegularExpression)]
            yield Asked(
                name=item.field,
                letters=any(character.isalpha() for text in texts for character in str(text)),
                pattern=any(isinstance(text, SigmaRegularExpression) or text.contains_special() for text in texts),
            )


@contextmanager
def _refused() -> Iterator[None]:
    from sigma.exceptions import SigmaError

    try:
        yield
    except (SigmaError, NotImplementedError) as error:
        raise NotExpressible(f"the converter refuses it: {_reason(error)}") from error
    except NotExpressible as error:
        raise NotExpressible(_reason(error)) from error
    except (AttributeError, TypeError, ValueError, LookupError, RecursionError) as error:
        # Backends take for granted what most rules have, and fail in whatever way Python does where one has it not.
        raise NotExpressible(f"the converter fails: {type(error).__name__}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The error's text without the places in its own source that pySigma adds to every exception that passes through it."""
    return str(error).partition(" (while ")[0]
