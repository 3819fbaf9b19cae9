"""One Sigma document: what it says, whether that is well formed and where not, and the rule that it makes.

pySigma tells what a rule means; what is wrong is told here first, because pySigma does not know lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import yaml

from harness.documents import MAX_DEPTH, MAX_NODES
from harness.errors import Problem, UsageError
from harness.logic.match import BadValue, compile_node
from harness.model.intent import Rule, Severity
from harness.model.tree import And, FieldName, Node, Or, Pattern
from harness.rules.sigma.correlation import mentioned_by
from harness.rules.sigma.pipelines import AUDITED, audit, is_audited, sysmon
from harness.rules.sigma.texts import at_of, mark_of, pair_of
from harness.rules.sigma.tree import NotEvaluable, UnknownSelection, condition_node, flattened, item_node, items_of

if TYPE_CHECKING:
    from sigma.processing.pipeline import ProcessingPipeline
    from sigma.rule import SigmaRule
    from sigma.rule.detection import SigmaDetections

LANGUAGE = "sigma"

_DASHES = 5
"""The most dashes that `windash` may vary in one value: each of them takes five forms."""

_FORMS = 20_000
"""The most forms that `windash` may give all values of a key together."""

_LEVELS = 50
"""The most brackets, or negations, that a condition may nest."""

_CONDITIONS = 100
"""The most conditions of a rule; published ones have one."""

_WORDS = 20_000
"""The most words of a condition, hundreds of times the longest published one's: pySigma's parser takes minutes for a megabyte of them."""

_DASH = re.compile(r"\B[-/]\b")
"""What pySigma's `windash` varies."""

_UNNAMED = UUID("0e7e22a4-77fd-4f5a-8a53-9d5d4a1c2f60")
"""The name space of the ids of correlations that have neither id nor name: one is made of the title."""

_DEFAULT_SEVERITY = Severity.MEDIUM
"""For a rule that states no level, which Sigma leaves to the reader."""


class Document:
    """One Sigma document: its values, and the place of each in the text."""

    def __init__(self, root: yaml.MappingNode, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._root = root
        self._check_nodes(root)
        self._values: dict[str, Any] = self._construct()

    def _check_nodes(self, root: yaml.Node) -> None:
        """Every key once and a text, no alias inside itself, no more nodes than a rule can have."""
        problems: list[Problem] = []
        visited = 0
        todo: list[tuple[yaml.Node, frozenset[int]]] = [(root, frozenset())]
        while todo:
            node, above = todo.pop()
            visited += 1
            if id(node) in above:
                raise self._error("unfolds without end: its aliases contain each other", mark_of(node))
            if visited > MAX_NODES:
                raise self._error(f"holds more than {MAX_NODES} values", mark_of(node), "aliases count as what they stand for")
            if len(above) > MAX_DEPTH:
                raise self._error(f"is nested deeper than {MAX_DEPTH} levels", mark_of(node))
            if isinstance(node, yaml.MappingNode):
                keys: set[str] = set()
                for key, value in node.value:
                    if not isinstance(key, yaml.ScalarNode):
                        problems.append(self._problem("a key is not a plain text", mark_of(key)))
                    elif key.value in keys:
                        problems.append(self._problem(f"the key '{key.value}' stands twice", mark_of(key)))
                    else:
                        keys.add(key.value)
                        problems.extend(self._check_key(key, value))
                todo.extend((value, above | {id(node)}) for _, value in node.value)
            elif isinstance(node, yaml.SequenceNode):
                todo.extend((value, above | {id(node)}) for value in node.value)
        if problems:
            raise UsageError(*problems)

    def _check_key(self, key: yaml.ScalarNode, value: yaml.Node) -> Iterator[Problem]:
        """What would unfold a value beyond measure, or would not be a name."""
        values = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if "windash" in key.value.split("|")[1:]:
            forms = 0
            for each in values:
                dashes = len(_DASH.findall(each.value)) if isinstance(each, yaml.ScalarNode) else 0
                forms += 5 ** min(dashes, _DASHES)
                if dashes > _DASHES:
                    yield self._problem(f"'windash' varies at most {_DASHES} dashes of a value", mark_of(each))
            if forms > _FORMS:
                yield self._problem(f"'windash' would make {forms} forms of these values, more than {_FORMS}", mark_of(value))
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge") and key.tag != "tag:yaml.org,2002:value":
            yield self._problem(f"the key {key.value} is not a text", mark_of(key), f"write it as '{key.value}'")

    def _construct(self) -> dict[str, Any]:
        loader = yaml.CSafeLoader("")
        try:
            values = loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise self._error(f"holds a value that YAML cannot read: {error.problem}", at_of(mark)) from error
        except (ValueError, OverflowError) as error:  # a date or number that there is not
            raise self._error(f"holds a value that YAML cannot read: {error}") from error
        finally:
            loader.dispose()
        return dict(values)

    @property
    def is_filter(self) -> bool:
        """Whether it is a Sigma filter, which narrows other rules and is none itself."""
        return "filter" in self._values

    @property
    def is_correlation(self) -> bool:
        """Whether it counts the matches of other rules."""
        return "correlation" in self._values

    @property
    def values(self) -> dict[str, Any]:
        """What it says, as YAML reads it."""
        return self._values

    @property
    def source(self) -> str:
        """The name of the text that it stands in."""
        return self._source

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self._values.get("title") or self._values.get("name") or self._values.get("id"))

    @property
    def names(self) -> frozenset[str]:
        """By what others refer to it: its name as it stands, its id in lower case."""
        name, rule_id = self._values.get("name"), self._values.get("id")
        return frozenset([*([name] if isinstance(name, str) else []), *([rule_id.lower()] if isinstance(rule_id, str) else [])])

    def references(self) -> frozenset[str]:
        """The names of the rules that it speaks of, as `names` has them."""
        return mentioned_by(self._values)

    # --- places

    def problem(self, what: str, fix: str = "") -> Problem:
        """A problem of the document as a whole."""
        return self._problem(what, mark_of(self._root), fix)

    def _problem(self, what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> Problem:
        line, column = place
        return Problem(path=self._source, line=line, column=column, what=what, fix=fix)

    def _error(self, what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> UsageError:
        return UsageError(self._problem(what, place, fix))

    def error(self, what: str, *keys: str, fix: str = "") -> UsageError:
        """The error that says this of what stands at these nested keys."""
        return self._error(what, self._place(*keys), fix)

    def _place(self, *keys: str) -> tuple[int, int]:
        """Where the innermost of these nested keys stands; where it does not, the one around it."""
        node: yaml.Node = self._root
        place = mark_of(node)
        for key in keys:
            pair = pair_of(node, key)
            if pair is None:
                break
            place, node = mark_of(pair[0]), pair[1]
        return place

    # --- checks

    def check_shape(self) -> None:
        """The parts that a rule must have, each of its kind. Raises `UsageError` with all that is wrong."""
        values = self._values
        problems: list[Problem] = []
        problems.extend(self._check_id())
        if not isinstance(values.get("title"), str) or not values["title"]:
            problems.append(self._problem("has no title", self._place("title")))
        if not isinstance(values.get("logsource"), dict):
            problems.append(self._problem("has no log source", self._place("logsource"), "logsource: with product, category or service"))
        problems.extend(self._check_detection(values.get("detection")))
        if problems:
            raise UsageError(*problems)

    def check_head(self) -> None:
        """That it has a title, and an id that is one where it has any. Raises `UsageError`."""
        problems = list(self._check_id() if "id" in self._values else ())
        if not isinstance(self._values.get("title"), str) or not self._values["title"]:
            problems.append(self._problem("has no title", self._place("title")))
        if problems:
            raise UsageError(*problems)

    def _check_id(self) -> Iterator[Problem]:
        rule_id = self._values.get("id")
        if rule_id is None:
            return  # the specification wants none: its name is its id then, or one that is made of its text
        if not isinstance(rule_id, str) or not _is_uuid(rule_id):
            yield self._problem(f"the id '{rule_id}' is no UUID", self._place("id"), "give it a random UUID")

    def _check_detection(self, detection: object) -> Iterator[Problem]:
        if not isinstance(detection, dict) or not detection:
            yield self._problem("has no detection", self._place("detection"), "detection: with selections and a condition")
            return
        place = self._place("detection", "condition")
        condition = detection.get("condition")
        conditions = condition if isinstance(condition, list) else [condition]
        if not conditions or not all(isinstance(each, str) and each for each in conditions):
            yield self._problem("has no condition", place, "condition: a text, such as selection")
        elif len(conditions) > _CONDITIONS:
            yield self._problem(f"has more than {_CONDITIONS} conditions", place)
        elif unfit := next(filter(None, (_unfit(str(each)) for each in conditions)), ""):
            yield self._problem(f"its condition {unfit}", place)
        if len(detection) < 2:
            yield self._problem("has no selection", self._place("detection"))

    def check_selections(self) -> None:
        """Every field of every selection, by itself, so that a fault has its own line. Raises `UsageError` with all of them."""
        problems: list[Problem] = []
        for name, definition in self._values["detection"].items():
            if name != "condition":
                detection = pair_of(self._root, "detection")
                pair = pair_of(detection[1], name) if detection else None  # none: it came by a merge key, and has the place of that
                problems.extend(self._check_selection(str(name), definition, (pair or detection or (self._root,))[-1]))
        if problems:
            raise UsageError(*problems)

    def _check_selection(self, name: str, definition: object, node: yaml.Node) -> Iterator[Problem]:
        if isinstance(definition, dict):
            if not definition:
                yield self._problem(f"the selection '{name}' is empty", mark_of(node))
            for key, value in definition.items():
                pair = pair_of(node, str(key))
                yield from self._check_item(name, str(key), value, mark_of(pair[0]) if pair else mark_of(node))
        elif isinstance(definition, list) and any(isinstance(item, dict | list) for item in definition):
            assert isinstance(node, yaml.SequenceNode)
            for item, item_node in zip(definition, node.value, strict=True):
                yield from self._check_selection(name, item, item_node)
        elif definition in ([], None, ""):
            yield self._problem(f"the selection '{name}' is empty", mark_of(node))
        else:
            yield from self._check_item(name, None, definition, mark_of(node))

    def _check_item(self, name: str, key: str | None, value: Any, place: tuple[int, int]) -> Iterator[Problem]:
        from sigma.exceptions import SigmaError
        from sigma.rule.detection import SigmaDetectionItem

        try:
            compile_node(item_node(SigmaDetectionItem.from_mapping(key, value)))
        except (SigmaError, BadValue, NotEvaluable) as error:
            yield self._problem(f"'{key or name}' is not evaluable: {error}", place)
        except (RecursionError, OverflowError) as error:
            yield self._problem(
                f"'{key or name}' is not evaluable: {'nested too deeply' if isinstance(error, RecursionError) else error}", place
            )
        except (IndexError, TypeError, AttributeError) as error:
            # pySigma takes some values apart before it looks whether they are of the kind that a modifier takes (an empty regex).
            yield self._problem(f"'{key or name}' has a value that its modifiers do not take: {error}", place)

    # --- the rule

    def rule(self, filters: Sequence[Document] = ()) -> Rule:
        """The rule, narrowed by these filters. Raises `UsageError` with what pySigma or the conversion finds wrong."""
        try:
            parsed = self._parse()
            fitting = [document for document in filters if self.narrowed_by(document)]
            logic = self._logic(fitting)
        except RecursionError as error:
            raise self._error("its condition is nested too deeply", self._place("detection", "condition")) from error
        head = {"title": parsed.title, "level": parsed.level, "tags": parsed.tags}
        rule_id = parsed.id or parsed.name
        rule = self._head(rule_id or uuid5(_UNNAMED, self._text.strip()), head, logic, None, (self, *fitting))
        return rule if rule_id else replace(rule, id_made=True)

    def correlated(self, pattern: Pattern, others: Sequence[Document]) -> Rule:
        """The correlation's rule; the others are all that it refers to, so that its definition says it whole. Raises `UsageError`."""
        from sigma.rule import SigmaRuleBase

        try:
            head, errors = SigmaRuleBase.from_dict_common_params(deepcopy(self._values), collect_errors=True)
        except (TypeError, AttributeError, KeyError) as error:
            raise self._error(f"is not a Sigma correlation: {error}") from error
        if errors:
            raise UsageError(*(self._problem(str(error), self._place(_key_of(error))) for error in errors))
        logic = Or(items=tuple(stage.condition for stage in pattern.stages))
        return self._head(head["id"] or head["name"] or uuid5(_UNNAMED, head["title"]), head, logic, pattern, (self, *others))

    @property
    def _line(self) -> int:
        """Where its id stands in its file, else its first value."""
        named = pair_of(self._root, "id")
        return mark_of(named[0] if named else self._root)[0] or 1

    def _head(self, rule_id: object, head: Mapping[str, Any], logic: Node, pattern: Pattern | None, documents: Sequence[Document]) -> Rule:
        level = head["level"]
        return Rule(
            id=str(rule_id),
            title=head["title"],
            source=self._source,
            language=LANGUAGE,
            severity=Severity(level.name.lower()) if level else _DEFAULT_SEVERITY,
            techniques=tuple(tag.name.upper() for tag in head["tags"] or () if tag.namespace == "attack" and _is_technique(tag.name)),
            logic=logic,
            definition=_joined([document._text for document in documents]),
            line=self._line,
            pattern=pattern,
        )

    def fields(self, names: Sequence[str]) -> dict[str, tuple[FieldName, ...]]:
        """Under which names the events of each of its variants have these fields, the first variant's first."""
        from sigma.exceptions import SigmaError

        found: dict[str, dict[str, None]] = {name: {} for name in names}
        for name in names:
            asked = self._values | {"detection": {"selection": {f"{name}|exists": True}, "condition": "selection"}}
            for _, pipeline in self._pipelines():
                rule = self._parse(asked)
                try:
                    pipeline.apply(rule)
                except SigmaError:  # this variant has no such field
                    continue
                items = items_of([rule.detection.detections["selection"]])
                found[name].update(dict.fromkeys(item.field for item in items if item.field))
        return {name: tuple(FieldName(name=field) for field in fields) or (FieldName(name=name),) for name, fields in found.items()}

    def _parse(self, values: dict[str, Any] | None = None) -> SigmaRule:
        """A fresh pySigma rule of these values, or its own: pipelines change the one that they are given."""
        from sigma.exceptions import SigmaError
        from sigma.rule import SigmaRule

        try:
            parsed = SigmaRule.from_dict(deepcopy(values or self._values), collect_errors=True)
        except (SigmaError, TypeError, AttributeError, KeyError) as error:
            # With values of unexpected kinds in places that it does not check, pySigma fails in whatever way Python does.
            raise self._error(f"is not a Sigma rule: {error}") from error
        if parsed.errors:
            raise UsageError(*(self._problem(str(error), self._place(_key_of(error))) for error in parsed.errors))
        return parsed

    def check_filter(self) -> None:
        """That this filter is one, and each of its parts evaluable. Raises `UsageError`."""
        from sigma.conditions import SigmaCondition
        from sigma.exceptions import SigmaError
        from sigma.filters import SigmaFilter

        try:
            made = SigmaFilter.from_dict(deepcopy(self._values)).filter
            for item in items_of(made.detections.values()):
                compile_node(item_node(item))
            if unfit := _unfit(made.condition[0]):
                raise self._error(f"its condition {unfit}", self._place("filter", "condition"))
            condition_node(SigmaCondition(made.condition[0], made).parse(postprocess=False), made)
        except UnknownSelection as error:
            what = f"the condition names '{error.name}', which no selection bears"
            raise self._error(what, self._place("filter", "condition")) from error
        except (
            SigmaError,
            BadValue,
            NotEvaluable,
            TypeError,
            AttributeError,
            KeyError,
            IndexError,
            RecursionError,
            OverflowError,
        ) as error:
            # As with rules: values of unexpected kinds fail in whatever way Python does.
            raise self._error(f"is not a Sigma filter: {error}", self._place("filter")) from error

    def narrowed_by(self, filtering: Document) -> bool:
        """Whether this filter, which was checked, is about this rule: it has its log source, or less of it, and names it, or any."""
        wanted, own = filtering._values["logsource"], self._values["logsource"]
        if any(wanted.get(key) not in (None, own.get(key)) for key in ("category", "product", "service")):
            return False
        rules = filtering._values["filter"]["rules"]
        if isinstance(rules, str):
            return rules.lower() == "any" or reference(rules) in self.names
        return not rules or any(reference(str(name)) in self.names for name in rules)

    def narrow(self, rule: SigmaRule) -> None:
        """Apply this filter, which was checked, to a freshly parsed rule that it is about."""
        from sigma.filters import SigmaFilter

        made = SigmaFilter.from_dict(deepcopy(self._values))
        made.filter.rules = "any"  # what it is about was seen: `narrowed_by`
        made.apply_on_rule(rule)

    def _logic(self, filters: Sequence[Document]) -> Node:
        from sigma.exceptions import SigmaTransformationError

        variants = []
        for name, pipeline in self._pipelines():
            try:
                variants.append(self._variant(name, pipeline, filters))
            except SigmaTransformationError as error:
                if not variants:
                    raise self._error(f"is not evaluable on {name}: {error}", self._place("logsource")) from error
                # This log has no such field: the rule is about the other alone.
        if len(variants) == 1:
            return variants[0]
        return Or(items=tuple(variants))

    def _pipelines(self) -> Iterator[tuple[str, ProcessingPipeline]]:
        logsource = self._values["logsource"]
        if logsource.get("product") != "windows":
            what = f"the log source's product is {logsource.get('product')!r}: only Windows events are evaluable here"
            raise self._error(what, self._place("logsource", "product"))
        category, service = logsource.get("category"), logsource.get("service")
        for label in AUDITED.get(category, (str(category or service or "windows"),)):
            yield label, audit() if is_audited(label) else sysmon()

    def _variant(self, label: str, pipeline: ProcessingPipeline, filters: Sequence[Document]) -> Node:
        """One of the ways in which the rule's log source is logged. Raises `SigmaTransformationError` where that log lacks a field."""
        from sigma.exceptions import SigmaError, SigmaTransformationError

        rule = self._parse()
        for each in filters:
            each.narrow(rule)
        try:
            pipeline.apply(rule)
        except SigmaTransformationError:
            raise
        except SigmaError as error:
            raise self._error(f"is not evaluable on {label}: {error}", self._place("logsource")) from error
        added = [name for name in rule.detection.detections if name.startswith("_cond_")]
        if not added and (rule.logsource.category or rule.logsource.service):
            what = f"the log source {rule.logsource.category or rule.logsource.service!r} is of no event log that is known here"
            raise self._error(what, self._place("logsource"), "a rule without a channel would match every event that has its fields")
        conditions = tuple(self._condition(condition.condition, rule.detection) for condition in rule.detection.parsed_condition)
        body = conditions[0] if len(conditions) == 1 else Or(items=conditions)
        return And(items=flattened(body), label=label)

    def _condition(self, text: str, detections: SigmaDetections) -> Node:
        from sigma.conditions import SigmaCondition
        from sigma.exceptions import SigmaError

        place = self._place("detection", "condition")
        if unfit := _unfit(text):
            raise self._error(f"its condition, with those of its filters, {unfit}", place)
        try:
            # Not post-processed: that would resolve the selections' names, which are the labels by which people know the groups.
            parsed = SigmaCondition(text, detections).parse(postprocess=False)
        except SigmaError as error:
            raise self._error(f"the condition cannot be read: {error}", place) from error
        try:
            return condition_node(parsed, detections)
        except UnknownSelection as error:
            names = [name for name in detections.detections if not name.startswith("_cond_")]
            near = get_close_matches(error.name, names, 1)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise self._error(f"the condition names '{error.name}', which no selection bears", place, fix) from error


def _unfit(condition: str) -> str:
    """Why a condition is not parsed: it is longer, or its brackets or negations nest deeper, than anybody writes (the tree's readings
    call themselves for each level). Empty where it is."""
    depth = negations = 0
    for count, found in enumerate(re.finditer(r"[()]|\bnot\b|[^()\s]+", condition, re.IGNORECASE), 1):
        word = found[0]
        negations = negations + 1 if word.lower() == "not" else negations if word == "(" else 0
        depth += (word == "(") - (word == ")")
        if depth > _LEVELS or negations > _LEVELS:
            return f"is nested deeper than {_LEVELS} levels"
        if count > _WORDS:
            return f"has more than {_WORDS} words"
    return ""


def _joined(texts: Sequence[str]) -> str:
    """Documents in one text; one alone as it stands."""
    return texts[0] if len(texts) == 1 else "---\n".join(text if text.endswith("\n") else f"{text}\n" for text in texts)


def reference(name: str) -> str:
    """A rule's name as it stands, an id in lower case."""
    return name.lower() if _is_uuid(name) else name


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _is_technique(name: str) -> bool:
    return name[:1].lower() == "t" and name[1:].replace(".", "").isdigit()


def _key_of(error: Exception) -> str:
    """The key that a pySigma exception is about: its classes are named after the keys, but for these."""
    name = type(error).__name__.removeprefix("Sigma").removesuffix("Error").lower()
    return {"value": "tags", "tag": "tags", "identifier": "id", "type": "name"}.get(name, name)
