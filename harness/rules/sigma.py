"""Sigma rules: pySigma parses them, its pipelines add channel and event id, and what comes out is the predicate tree.

Every exception of pySigma or PyYAML ends here, as a `Problem` with line and column. What the tree cannot say (a placeholder without
a value, a time stamp's week, a correlation) is refused and named; it is never matched as something else.

pySigma is imported when the first rule is parsed, because it costs more than the rest of a short command together. This file must
never know an event, a scenario or a SIEM.

Formats: https://sigmahq.io/sigma-specification (Sigma Rules 2.1, Modifiers appendix, Taxonomy appendix).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import yaml

from harness.errors import Problem, UsageError
from harness.logic.match import BadValue, compile_node
from harness.model.intent import Rule, Severity
from harness.model.tree import And, FieldName, Node, Not, Op, Or, Test, Value

if TYPE_CHECKING:
    from sigma.processing.pipeline import ProcessingPipeline
    from sigma.rule import SigmaRule
    from sigma.rule.detection import SigmaDetection, SigmaDetectionItem, SigmaDetections
    from sigma.types import SigmaString, SigmaType

LANGUAGE = "sigma"

_NODES = 100_000
"""The most YAML nodes a rule may have, aliases written out: far above any rule, far below what a nest of aliases unfolds to."""

_FILTER = "_filt_"
_FILTERED = re.compile(f"^{_FILTER}[a-z]+_")
"""What pySigma puts before the names of a filter's selections, so that they are not taken for the rule's own."""

_DEFAULT_SEVERITY = Severity.MEDIUM
"""For a rule that states no level, which Sigma leaves to the reader."""


class SigmaRules:
    """The `RuleSource` of Sigma's language."""

    def takes(self, path: Path) -> bool:
        """YAML with one of the keys that only Sigma documents have; a scenario has none of them. Raises `UsageError`."""
        if path.suffix.lower() not in (".yml", ".yaml") or path.name.endswith(".scenario.yml"):
            return False
        keys = ("logsource:", "detection:", "correlation:", "filter:")
        return any(line.startswith(keys) for line in _read(path).splitlines())

    def load(self, path: Path) -> Iterable[Rule]:
        """The file's rules. Raises `UsageError` with every problem that was found."""
        return self.parse(_read(path), str(path))

    def parse(self, text: str, source: str) -> Iterable[Rule]:
        """The rules of a text, a document each; its Sigma filters are applied to those of its rules that they name.

        Raises `UsageError` with every problem that was found.
        """
        roots = _compose(text, source)
        documents = [
            _Document(root, text if len(roots) == 1 else part, source) for root, part in zip(roots, _parts(text, roots), strict=True)
        ]
        filters = [document for document in documents if document.is_filter]
        rules = [document for document in documents if not document.is_filter]
        problems: list[Problem] = []
        if not rules:
            raise filters[0].error("a Sigma filter is evaluable only in one file with its rules", "put both in one file, --- between them")
        found: list[Rule] = []
        for document in rules:
            try:
                document.check_shape()
                document.check_selections()
                found.append(document.rule(filters))
            except UsageError as error:
                problems.extend(error.problems)
        if problems:
            raise UsageError(*problems)
        return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text", fix="save it as UTF-8")) from error


class _NotEvaluable(Exception):
    """A part of a rule that the tree cannot say. The text says which."""


def _compose(text: str, source: str) -> list[yaml.MappingNode]:
    """The text's documents, each a mapping; empty ones are left out. Raises `UsageError`."""

    def wrong(what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> UsageError:
        return UsageError(Problem(path=source, line=place[0], column=place[1], what=what, fix=fix))

    loader = yaml.CSafeLoader(text)
    documents: list[yaml.MappingNode] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
                continue
            if not isinstance(node, yaml.MappingNode):
                raise wrong("is not a mapping", _mark(node), "a Sigma rule is a mapping with title, id, logsource and detection")
            documents.append(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        what = f"is not YAML: {error.problem or error.context}"
        raise wrong(what, (mark.line + 1, mark.column + 1) if mark else (0, 0)) from error
    except yaml.YAMLError as error:
        raise wrong(f"is not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise wrong("is nested too deeply") from error
    finally:
        loader.dispose()
    if not documents:
        raise wrong("is empty")
    return documents


def _parts(text: str, roots: list[yaml.MappingNode]) -> Iterator[str]:
    """Each document's own text: from where it starts to the marker after it."""
    lines = text.splitlines()
    for root in roots:
        first, *rest = lines[root.start_mark.line :]
        end = next((number for number, line in enumerate(rest) if line.startswith(("---", "..."))), len(rest))
        yield "\n".join((first[root.start_mark.column :], *rest[:end])) + "\n"


class _Document:
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
            if visited > _NODES or id(node) in above:
                raise self._error("unfolds without end: its aliases contain each other", _mark(node))
            if isinstance(node, yaml.MappingNode):
                keys: set[str] = set()
                for key, _ in node.value:
                    if not isinstance(key, yaml.ScalarNode):
                        problems.append(self._problem("a key is not a plain text", _mark(key)))
                    elif key.value in keys:
                        problems.append(self._problem(f"the key '{key.value}' stands twice", _mark(key)))
                    else:
                        keys.add(key.value)
                todo.extend((value, above | {id(node)}) for _, value in node.value)
            elif isinstance(node, yaml.SequenceNode):
                todo.extend((value, above | {id(node)}) for value in node.value)
        if problems:
            raise UsageError(*problems)

    def _construct(self) -> dict[str, Any]:
        loader = yaml.CSafeLoader("")
        try:
            values = loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise self._error(f"holds a value that YAML cannot read: {error.problem}", _at(mark)) from error
        except (ValueError, OverflowError) as error:  # a date or number that there is not
            raise self._error(f"holds a value that YAML cannot read: {error}") from error
        finally:
            loader.dispose()
        return dict(values)

    @property
    def is_filter(self) -> bool:
        """Whether it is a Sigma filter, which narrows other rules and is none itself."""
        return "filter" in self._values

    # --- places

    def _problem(self, what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> Problem:
        line, column = place
        return Problem(path=self._source, line=line, column=column, what=what, fix=fix)

    def _error(self, what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> UsageError:
        return UsageError(self._problem(what, place, fix))

    def error(self, what: str, fix: str) -> UsageError:
        """The error that says this of the document as a whole."""
        return self._error(what, _mark(self._root), fix)

    def _place(self, *keys: str) -> tuple[int, int]:
        """Where the innermost of these nested keys stands; where it does not, the one around it."""
        node: yaml.Node = self._root
        place = _mark(node)
        for key in keys:
            pair = _pair(node, key)
            if pair is None:
                break
            place, node = _mark(pair[0]), pair[1]
        return place

    # --- checks

    def check_shape(self) -> None:
        """The parts that a rule must have, each of its kind. Raises `UsageError` with all that is wrong."""
        values = self._values
        problems: list[Problem] = []
        if "correlation" in values:
            raise self._error("a Sigma correlation is not evaluable here", self._place("correlation"), "only event rules are")
        rule_id = values.get("id")
        if not isinstance(rule_id, str) or not rule_id:
            problems.append(self._problem("has no id", self._place("id"), "give it a random UUID"))
        elif not _is_uuid(rule_id):
            problems.append(self._problem(f"the id '{rule_id}' is no UUID", self._place("id"), "give it a random UUID"))
        if not isinstance(values.get("title"), str) or not values["title"]:
            problems.append(self._problem("has no title", self._place("title")))
        if not isinstance(values.get("logsource"), dict):
            problems.append(self._problem("has no log source", self._place("logsource"), "logsource: with product, category or service"))
        problems.extend(self._check_detection(values.get("detection")))
        if problems:
            raise UsageError(*problems)

    def _check_detection(self, detection: object) -> Iterator[Problem]:
        if not isinstance(detection, dict) or not detection:
            yield self._problem("has no detection", self._place("detection"), "detection: with selections and a condition")
            return
        place = self._place("detection", "condition")
        condition = detection.get("condition")
        conditions = condition if isinstance(condition, list) else [condition]
        if not conditions or not all(isinstance(each, str) and each for each in conditions):
            yield self._problem("has no condition", place, "condition: a text, such as selection")
        if len(detection) < 2:
            yield self._problem("has no selection", self._place("detection"))

    def check_selections(self) -> None:
        """Every field of every selection, by itself, so that a fault has its own line. Raises `UsageError` with all of them."""
        problems: list[Problem] = []
        for name, definition in self._values["detection"].items():
            if name != "condition":
                pair = _pair(_pair(self._root, "detection")[1], name)  # type: ignore[index]
                assert pair is not None
                problems.extend(self._check_selection(str(name), definition, pair[1]))
        if problems:
            raise UsageError(*problems)

    def _check_selection(self, name: str, definition: object, node: yaml.Node) -> Iterator[Problem]:
        if isinstance(definition, dict):
            if not definition:
                yield self._problem(f"the selection '{name}' is empty", _mark(node))
            for key, value in definition.items():
                pair = _pair(node, str(key))
                yield from self._check_item(name, str(key), value, _mark(pair[0]) if pair else _mark(node))
        elif isinstance(definition, list) and any(isinstance(item, dict | list) for item in definition):
            assert isinstance(node, yaml.SequenceNode)
            for item, item_node in zip(definition, node.value, strict=True):
                yield from self._check_selection(name, item, item_node)
        elif definition in ([], None, ""):
            yield self._problem(f"the selection '{name}' is empty", _mark(node))
        else:
            yield from self._check_item(name, None, definition, _mark(node))

    def _check_item(self, name: str, key: str | None, value: Any, place: tuple[int, int]) -> Iterator[Problem]:
        from sigma.exceptions import SigmaError
        from sigma.rule.detection import SigmaDetectionItem

        try:
            compile_node(_item_node(SigmaDetectionItem.from_mapping(key, value)))
        except (SigmaError, BadValue, _NotEvaluable) as error:
            yield self._problem(f"'{key or name}' is not evaluable: {error}", place)
        except (IndexError, TypeError, AttributeError) as error:
            # pySigma takes some values apart before it looks whether they are of the kind that a modifier takes (an empty regex).
            yield self._problem(f"'{key or name}' has a value that its modifiers do not take: {error}", place)

    # --- the rule

    def rule(self, filters: Sequence[_Document] = ()) -> Rule:
        """The rule, narrowed by these filters. Raises `UsageError` with what pySigma or the conversion finds wrong."""
        try:
            parsed = self._parse()
            fitting = [document for document in filters if document.narrows(self._parse())]
            logic = self._logic(fitting)
        except RecursionError as error:
            raise self._error("its condition is nested too deeply", self._place("detection", "condition")) from error
        return Rule(
            id=str(parsed.id),
            title=parsed.title,
            source=self._source,
            language=LANGUAGE,
            severity=Severity(parsed.level.name.lower()) if parsed.level else _DEFAULT_SEVERITY,
            techniques=tuple(tag.name.upper() for tag in parsed.tags if tag.namespace == "attack" and _is_technique(tag.name)),
            logic=logic,
            definition="---\n".join(document._text for document in (self, *fitting)),
        )

    def _parse(self) -> SigmaRule:
        """A fresh pySigma rule: pipelines change the one that they are given."""
        from sigma.exceptions import SigmaError
        from sigma.rule import SigmaRule

        try:
            parsed = SigmaRule.from_dict(deepcopy(self._values), collect_errors=True)
        except (SigmaError, TypeError, AttributeError, KeyError) as error:
            # With values of unexpected kinds in places that it does not check, pySigma fails in whatever way Python does.
            raise self._error(f"is not a Sigma rule: {error}") from error
        if parsed.errors:
            raise UsageError(*(self._problem(str(error), self._place(_key_of(error))) for error in parsed.errors))
        return parsed

    def narrows(self, rule: SigmaRule) -> bool:
        """Apply this filter to a freshly parsed rule, and say whether it is about that rule. Raises `UsageError`."""
        from sigma.exceptions import SigmaError
        from sigma.filters import SigmaFilter

        try:
            made = SigmaFilter.from_dict(deepcopy(self._values))
            for item in _items_of(made.filter.detections.values()):
                compile_node(_item_node(item))
            made.apply_on_rule(rule)
        except (SigmaError, BadValue, _NotEvaluable, TypeError, AttributeError, KeyError, IndexError) as error:
            # As with rules: values of unexpected kinds fail in whatever way Python does.
            raise self._error(f"is not a Sigma filter: {error}", self._place("filter")) from error
        return any(name.startswith(_FILTER) for name in rule.detection.detections)

    def _logic(self, filters: Sequence[_Document]) -> Node:
        variants = [self._variant(name, pipeline, filters) for name, pipeline in self._pipelines()]
        if len(variants) == 1:
            return variants[0]
        return Or(items=tuple(variants))

    def _pipelines(self) -> Iterator[tuple[str, ProcessingPipeline]]:
        logsource = self._values["logsource"]
        if logsource.get("product") != "windows":
            what = f"the log source's product is {logsource.get('product')!r}: only Windows events are evaluable here"
            raise self._error(what, self._place("logsource", "product"))
        category, service = logsource.get("category"), logsource.get("service")
        if category == "process_creation":
            yield "Sysmon 1", _sysmon()
            yield "Security 4688", _audit()
        else:
            yield str(category or service or "windows"), _sysmon()

    def _variant(self, label: str, pipeline: ProcessingPipeline, filters: Sequence[_Document]) -> Node:
        from sigma.exceptions import SigmaError

        rule = self._parse()
        for each in filters:
            each.narrows(rule)
        try:
            pipeline.apply(rule)
        except SigmaError as error:
            raise self._error(f"is not evaluable on {label}: {error}", self._place("logsource")) from error
        added = [name for name in rule.detection.detections if name.startswith("_cond_")]
        if not added and (rule.logsource.category or rule.logsource.service):
            what = f"the log source {rule.logsource.category or rule.logsource.service!r} is of no event log that is known here"
            raise self._error(what, self._place("logsource"), "a rule without a channel would match every event that has its fields")
        conditions = tuple(self._condition(condition.condition, rule.detection) for condition in rule.detection.parsed_condition)
        body = conditions[0] if len(conditions) == 1 else Or(items=conditions)
        return And(items=_flattened(body), label=label)

    def _condition(self, text: str, detections: SigmaDetections) -> Node:
        from sigma.conditions import SigmaCondition
        from sigma.exceptions import SigmaError

        place = self._place("detection", "condition")
        try:
            # Not post-processed: that would resolve the selections' names, which are the labels by which people know the groups.
            parsed = SigmaCondition(text, detections).parse(postprocess=False)
        except SigmaError as error:
            raise self._error(f"the condition cannot be read: {error}", place) from error
        try:
            return _condition_node(parsed, detections)
        except _UnknownSelection as error:
            names = [name for name in detections.detections if not name.startswith("_cond_")]
            near = get_close_matches(error.name, names, 1)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise self._error(f"the condition names '{error.name}', which no selection bears", place, fix) from error


def _at(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _mark(node: yaml.Node | None) -> tuple[int, int]:
    return _at(node.start_mark) if node else (0, 0)


def _pair(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((name, value) for name, value in node.value if name.value == key), None)


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


# --- pipelines ------------------------------------------------------------------------------------------------------------


@cache
def _sysmon() -> ProcessingPipeline:
    from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
    from sigma.pipelines.windows.windows import windows_logsource_pipeline

    stacked: ProcessingPipeline = sysmon_pipeline() + windows_logsource_pipeline() + _more_channels()
    return stacked


@cache
def _audit() -> ProcessingPipeline:
    """Process creation as Security 4688 has it. Sysmon fields that 4688 lacks stay as they are and match nothing there.

    pySigma's pipeline leaves the account and the integrity level out. 4688 names the creator's account and, where the process runs
    under another, that one as well; its mandatory label is a SID, which is why rules list S-1-16-* beside the level's name.
    """
    from sigma.pipelines.common import logsource_windows
    from sigma.pipelines.windows.windows import windows_audit_pipeline, windows_logsource_pipeline
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import FieldMappingTransformation

    accounts = FieldMappingTransformation({"User": ["SubjectUserName", "TargetUserName"], "IntegrityLevel": "MandatoryLabel"})
    mapping = ProcessingPipeline(items=[ProcessingItem(accounts, rule_conditions=[logsource_windows("security")])])
    return windows_audit_pipeline() + windows_logsource_pipeline() + mapping


def _more_channels() -> ProcessingPipeline:
    """Services and categories of Sigma's taxonomy that pySigma's pipelines do not know.

    SigmaHQ's tests/thor.yml names the services' channels. `file_access` is Microsoft-Windows-Kernel-File's Create (12), which is logged
    whenever a file is opened. `file_rename` is not here: no event of that provider has both names, which those rules compare.
    """
    from sigma.pipelines.common import logsource_windows
    from sigma.processing.conditions import LogsourceCondition
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import AddConditionTransformation

    channels = {
        "iis-configuration": "Microsoft-IIS-Configuration/Operational",
        "ldap": "Microsoft-Windows-LDAP-Client/Debug",
        "smbserver-connectivity": "Microsoft-Windows-SMBServer/Connectivity",
    }
    opened: dict[str, str | int | list[str]] = {"Channel": "Microsoft-Windows-Kernel-File/Analytic", "EventID": 12}
    file_access = LogsourceCondition(category="file_access", product="windows")
    return ProcessingPipeline(
        items=[
            ProcessingItem(AddConditionTransformation(opened), rule_conditions=[file_access]),
            *(
                ProcessingItem(AddConditionTransformation({"Channel": channel}), rule_conditions=[logsource_windows(service)])
                for service, channel in channels.items()
            ),
        ]
    )


# --- conditions to the tree -----------------------------------------------------------------------------------------------


@dataclass
class _UnknownSelection(Exception):
    name: str


def _condition_node(item: Any, detections: SigmaDetections) -> Node:
    from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionOR, ConditionSelector

    match item:
        case ConditionIdentifier(identifier=name):
            if name not in detections.detections:
                raise _UnknownSelection(name)
            return _selection_node(detections.detections[name], "" if name.startswith("_cond_") else _FILTERED.sub("", name))
        case ConditionSelector(pattern=pattern):
            chosen = item.resolve_referenced_detections(detections)
            if not chosen:
                raise _UnknownSelection(pattern)
            items = tuple(_condition_node(each, detections) for each in chosen)
            if item.cond_class is ConditionAND:
                return And(items=items, label=f"all of {_FILTERED.sub('', pattern)}")
            return Or(items=items, label=f"1 of {_FILTERED.sub('', pattern)}")
        case ConditionNOT(args=[inner]):
            return Not(item=_condition_node(inner, detections))
        case ConditionAND(args=parts):
            return And(items=tuple(_condition_node(part, detections) for part in parts))
        case ConditionOR(args=parts):
            return Or(items=tuple(_condition_node(part, detections) for part in parts))
    raise _NotEvaluable(f"a condition of the kind {type(item).__name__}")


def _items_of(detections: Iterable[SigmaDetection | SigmaDetectionItem]) -> Iterator[SigmaDetectionItem]:
    from sigma.rule.detection import SigmaDetectionItem

    for each in detections:
        if isinstance(each, SigmaDetectionItem):
            yield each
        else:
            yield from _items_of(each.detection_items)


def _flattened(node: Node) -> tuple[Node, ...]:
    """The parts of a conjunction, nested ones without a name of their own among them."""
    if isinstance(node, And) and not node.label:
        return tuple(part for item in node.items for part in _flattened(item))
    return (node,)


def _selection_node(detection: SigmaDetection, label: str) -> Node:
    from sigma.conditions import ConditionOR
    from sigma.rule.detection import SigmaDetectionItem

    items = tuple(
        _item_node(item) if isinstance(item, SigmaDetectionItem) else _selection_node(item, "") for item in detection.detection_items
    )
    if detection.item_linking is ConditionOR:
        return Or(items=items, label=label) if label or len(items) != 1 else items[0]
    return And(items=items, label=label) if label or len(items) != 1 else items[0]


def _item_node(item: SigmaDetectionItem) -> Node:
    from sigma.conditions import ConditionAND
    from sigma.types import SigmaNull

    field = item.field.strip() if item.field is not None else None
    values = item.value or [SigmaNull()]
    tests = tuple(_value_node(field, value) for value in values)
    node: Node
    if len(tests) == 1:
        node = tests[0]
    elif item.value_linking is ConditionAND:
        node = And(items=tests)
    else:
        node = Or(items=tests)
    return Not(item=node) if item.negated else node


def _value_node(field: str | None, value: SigmaType) -> Node:
    from sigma.types import (
        SigmaBool,
        SigmaCasedString,
        SigmaCIDRExpression,
        SigmaCompareExpression,
        SigmaExists,
        SigmaExpansion,
        SigmaFieldReference,
        SigmaNull,
        SigmaNumber,
        SigmaRegularExpression,
        SigmaString,
        SigmaTimestampPart,
    )

    match value:
        case SigmaExpansion(values=values):
            return Or(items=tuple(_value_node(field, each) for each in values))
        case SigmaString():
            return _string_test(field, value, cased=isinstance(value, SigmaCasedString))
        case SigmaTimestampPart(timestamp_part=part, number=number):
            pattern = _TIME_PARTS.get(part.name)
            if pattern is None:
                raise _NotEvaluable(f"the {part.name.lower()} of a time stamp is not in its text")
            return Test(field=field, op=Op.REGEX, value=pattern.format(int(number)), cased=True)
        case SigmaNumber(number=number):
            return Test(field=field, op=Op.CONTAINS if field is None else Op.EQUALS, value=number)
        case SigmaBool(boolean=boolean):
            return Test(field=field, op=Op.CONTAINS if field is None else Op.EQUALS, value=boolean)
        case SigmaNull():
            return Test(field=field, op=Op.IS_NULL, value=None)
        case SigmaExists(exists=exists):
            return Test(field=field, op=Op.EXISTS, value=exists)
        case SigmaRegularExpression():
            return _regex_test(field, value)
        case SigmaCIDRExpression():
            return Test(field=field, op=Op.CIDR, value=str(value.network))
        case SigmaCompareExpression(number=limit, op=operator):
            order = {"LT": Op.LESS, "LTE": Op.LESS_OR_EQUAL, "GT": Op.GREATER, "GTE": Op.GREATER_OR_EQUAL}
            return Test(field=field, op=order[operator.name], value=limit.number)
        case SigmaFieldReference(field=other, starts_with=starts, ends_with=ends):
            op = {(False, False): Op.EQUALS, (True, False): Op.STARTS_WITH, (False, True): Op.ENDS_WITH, (True, True): Op.CONTAINS}
            return Test(field=field, op=op[starts, ends], value=FieldName(name=other))
    raise _NotEvaluable(f"a value of the kind {type(value).__name__}")


# A part of a time stamp, in the text of an ISO 8601 time as Windows renders it (with a blank or a T) and in the zone that it is written in.
_TIME_PARTS = {
    "YEAR": r"^{:04d}-",
    "MONTH": r"^\d{{4}}-{:02d}-",
    "DAY": r"^\d{{4}}-\d\d-{:02d}[T ]",
    "HOUR": r"^\d{{4}}-\d\d-\d\d[T ]{:02d}:",
    "MINUTE": r"^\d{{4}}-\d\d-\d\d[T ]\d\d:{:02d}\b",
}


def _regex_test(field: str | None, value: Any) -> Test:
    if value.contains_placeholder():
        raise _NotEvaluable("a placeholder stands for a value that is not given")
    flags = {flag.name for flag in value.flags}
    inline = ("m" if "MULTILINE" in flags else "") + ("s" if "DOTALL" in flags else "")
    pattern = f"(?{inline}){value.regexp}" if inline else str(value.regexp)
    return Test(field=field, op=Op.REGEX, value=pattern, cased="IGNORECASE" not in flags)


def _string_test(field: str | None, value: SigmaString, *, cased: bool) -> Test:
    """The simplest operation that says what the wildcards say: a value is read by people, too, and folded into look-ups."""
    from sigma.types import Placeholder, SpecialChars

    if any(isinstance(part, Placeholder) for part in value.s):
        raise _NotEvaluable("a placeholder stands for a value that is not given")
    parts: list[Any] = list(value.s)
    star = SpecialChars.WILDCARD_MULTI
    if field is None:  # a keyword is looked for anywhere in a value
        parts = [star, *parts, star]
    front, back = parts[:1] == [star], parts[-1:] == [star]
    inner = parts[front : len(parts) - back] if len(parts) > 1 else parts
    if all(isinstance(part, str) for part in inner):
        op = {(False, False): Op.EQUALS, (False, True): Op.STARTS_WITH, (True, False): Op.ENDS_WITH, (True, True): Op.CONTAINS}
        return Test(field=field, op=op[front and len(parts) > 1, back and len(parts) > 1], value="".join(inner), cased=cased)
    signs: dict[Value | SpecialChars, str] = {star: "*", SpecialChars.WILDCARD_SINGLE: "?"}
    pattern = "".join(_escaped(part) if isinstance(part, str) else signs[part] for part in parts)
    return Test(field=field, op=Op.LIKE, value=pattern, cased=cased)


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\*?" else character for character in text)
