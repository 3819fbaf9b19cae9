"""Sigma rules: pySigma parses them, its pipelines add channel and event id, and what comes out is the predicate tree.

Every exception of pySigma or PyYAML ends here, as a `Problem` with line and column. What the tree cannot say (a placeholder without
a value) is refused and named; it is never matched as something else. Documents of several files may refer to each other: filters narrow
the rules that they name, correlations count their matches (`sigma_correlation`).

pySigma is imported when the first rule is parsed, because it costs more than the rest of a short command together. This file must
never know an event, a scenario or a SIEM.

Formats: https://sigmahq.io/sigma-specification (Sigma Rules 2.1, Correlation Rules 2.0, Filters 2.0, Modifiers appendix, Taxonomy
appendix). What pySigma reads beside them: the actions `global`, `reset` and `repeat` of several documents in one file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import yaml

from harness.documents import MAX_DEPTH, MAX_NODES
from harness.errors import Problem, UsageError
from harness.files import read_bounded
from harness.logic.match import BadValue, compile_node
from harness.model.intent import Rule, Severity
from harness.model.tree import And, Call, FieldName, Formula, Function, Node, Not, Op, Or, Pattern, Test, Value, ViewName
from harness.ports import Linked
from harness.rules.sigma_correlation import correlation_of, mentioned_by

if TYPE_CHECKING:
    from sigma.processing.pipeline import ProcessingPipeline
    from sigma.rule import SigmaRule
    from sigma.rule.detection import SigmaDetection, SigmaDetectionItem, SigmaDetections
    from sigma.types import SigmaString, SigmaType

LANGUAGE = "sigma"

_CHARACTERS = 16 << 20
"""The largest text that is read: twice all of SigmaHQ's rules in one."""

_SIMPLE = 20_000
"""Characters of a text that libyaml's composer can be given as it is. It recurses on nested input, and a larger one could end its stack."""

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

_REFERRING = re.compile(r"^(correlation|filter):", re.MULTILINE)
"""A text with a document that is about other rules. Only such a text has to be read before the others."""

_FILTERED = re.compile("^_filt_[a-z]+_")
"""What pySigma puts before the names of a filter's selections, so that they are not taken for the rule's own."""

_UNNAMED = UUID("0e7e22a4-77fd-4f5a-8a53-9d5d4a1c2f60")
"""The name space of the ids of correlations that have neither id nor name: one is made of the title."""

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

    def read(self, path: Path) -> str:
        """The file's text. Raises `UsageError`."""
        return _read(path)

    def parse(self, text: str, source: str) -> Iterable[Rule]:
        """The rules of a text by itself: what they refer to must stand in it, too.

        Raises `UsageError` with every problem that was found.
        """
        linked = self.link([(source, text)])
        if linked.problems:
            raise UsageError(*linked.problems)
        return linked.rules

    def refers(self, text: str) -> bool:
        """Whether there is a correlation or a filter in it."""
        return _REFERRING.search(text) is not None

    def link(self, texts: Sequence[tuple[str, str]]) -> Linked:
        """The rules of these texts, each with its name before it, narrowed by their filters and counted by their correlations.

        A rule that a correlation counts, which does not `generate`, has no alerts of its own: it is there, and not evaluated.
        """
        linking = _Linking()
        opened = {place: linking.open(*text) for place, text in enumerate(texts) if self.refers(text[1])}
        for place, text in enumerate(texts):
            for document in opened[place] if place in opened else linking.open(*text):
                linking.take(document)
        return linking.linked()


class _Linking:
    """Documents of several texts on their way to rules. Of those that nothing refers to only the rule is kept."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._filters: list[_Document] = []
        self._wanted: set[str] = set()
        self._named: dict[str, list[_Document]] = {}
        self._made: list[_Document | Rule] = []
        self._rules: dict[_Document, Rule] = {}

    def open(self, source: str, text: str) -> list[_Document]:
        """The text's documents; what is wrong with one of them is noted, and it is left out."""
        documents = []
        for root, part in _acted(self._composed(source, text), source, self._problems.append):
            try:
                document = _Document(root, part, source)
                self._wanted.update(document.references())
                documents.append(document)
                if document.is_filter:
                    document.check_filter()
                    self._filters.append(document)
            except UsageError as error:
                self._problems.extend(error.problems)
        return documents

    def _composed(self, source: str, text: str) -> list[tuple[yaml.MappingNode, str]]:
        """The text's documents, each with its own text; where one of them is no YAML, the others by themselves."""
        try:
            roots = _compose(text, source)
            return [(roots[0], text)] if len(roots) == 1 else list(zip(roots, _parts(text, roots), strict=True))
        except UsageError as error:
            pieces = _pieces(text)
            if len(pieces) < 2:
                self._problems.extend(error.problems)
        roots = []
        for piece in pieces if len(pieces) > 1 else ():
            try:
                roots.extend(_compose(piece, source))
            except UsageError as error:
                self._problems.extend(error.problems)
        return list(zip(roots, _parts(text, roots), strict=True))

    def take(self, document: _Document) -> None:
        """Make the document's rule, where it is one that stands by itself; what others refer to is kept."""
        if document.is_filter:
            return
        for name in document.names & self._wanted:
            self._named.setdefault(name, []).append(document)
        if document.is_correlation:
            self._made.append(document)
            return
        try:
            document.check_shape()
            document.check_selections()
            rule = document.rule(self._filters)
        except UsageError as error:
            self._problems.extend(error.problems)
            return
        if document.names & self._wanted:
            self._rules[document] = rule
            self._made.append(document)
        else:
            self._made.append(rule)

    def linked(self) -> Linked:
        """Everything that was taken, the correlations among it, in its order."""
        if self._filters and not self._made and not self._problems:
            fix = "put it beside its rules: in one file with them, --- between them, or in one directory"
            self._problems.append(self._filters[0].problem("a Sigma filter is evaluable only together with its rules", fix))
        silent: dict[_Document, Rule] = {}
        for document in self._made:
            if isinstance(document, _Document) and document.is_correlation:
                try:
                    self._correlate(document, silent)
                except UsageError as error:
                    self._problems.extend(error.problems)
        rules = []
        for made in self._made:
            if isinstance(made, Rule):
                rules.append(made)
            elif made in silent:
                rules.append(_silenced(self._rules[made], silent[made]))
            elif made in self._rules:
                rules.append(self._rules[made])
        return Linked(rules=tuple(rules), problems=tuple(self._problems))

    def _correlate(self, document: _Document, silent: dict[_Document, Rule]) -> None:
        document.check_head()
        read = correlation_of(document, self._named, self._rules)
        rule = self._rules[document] = document.correlated(read.pattern, [*read.below, *self._fitting(read.below)])
        if not read.generate:
            silent.update(dict.fromkeys(read.referred, rule))

    def _fitting(self, below: Sequence[_Document]) -> list[_Document]:
        """The filters that narrow any of these."""
        return [each for each in self._filters if any(not rule.is_correlation and rule.narrowed_by(each) for rule in below)]


def _silenced(rule: Rule, correlation: Rule) -> Rule:
    """A rule whose matches are counted and do not alert. Its definition is the correlation's, so that it is silent wherever it is read."""
    why = f"its matches are counted by the correlation {correlation.title!r}, which does not generate alerts of its own for them"
    return replace(
        rule, logic=Or(items=()), pattern=None, not_evaluated=why, counted_by=correlation.title, definition=correlation.definition
    )


def _read(path: Path) -> str:
    try:
        data = read_bounded(path, _CHARACTERS)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text", fix="save it as UTF-8")) from error
    if len(data) > _CHARACTERS:
        raise UsageError(Problem(path=str(path), what=f"is longer than the {_CHARACTERS} bytes that are read"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _NotEvaluable(Exception):
    """A part of a rule that the tree cannot say. The text says which."""


def _compose(text: str, source: str) -> list[yaml.MappingNode]:
    """The text's documents, each a mapping; empty ones are left out. Raises `UsageError`."""

    def wrong(what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> UsageError:
        return UsageError(Problem(path=source, line=place[0], column=place[1], what=what, fix=fix))

    if len(text) > _CHARACTERS:
        raise wrong(f"is longer than the {_CHARACTERS} characters that are read")
    loader = yaml.CSafeLoader(text)
    documents: list[yaml.MappingNode] = []
    try:
        if len(text) > _SIMPLE:
            _check_events(text, wrong)
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


def _check_events(text: str, wrong: Callable[[str, tuple[int, int]], UsageError]) -> None:
    """Raise where a document is too deep or too large to be composed."""
    loader = yaml.CSafeLoader(text)
    depth = count = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            assert event is not None
            count = 0 if isinstance(event, yaml.DocumentStartEvent) else count + isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise wrong(f"is nested deeper than {MAX_DEPTH} levels", _at(event.start_mark))
            if count > MAX_NODES:
                raise wrong(f"holds more than {MAX_NODES} values", _at(event.start_mark))
    finally:
        loader.dispose()


def _acted(
    documents: Sequence[tuple[yaml.MappingNode, str]], source: str, wrong: Callable[[Problem], None]
) -> Iterator[tuple[yaml.MappingNode, str]]:
    """The documents with their actions done, as pySigma's collections do them: rules alone, each with a text that says the same.

    What a `global` document holds goes into every rule after it, over what the rule says itself, until a `reset`; a `repeat` is the rule
    before it with what it says itself over that. Filters and correlations are left as they are.
    """
    everywhere: yaml.MappingNode | None = None
    before: yaml.MappingNode | None = None
    for root, text in documents:
        pair = _pair(root, "action")
        action = pair[1].value if pair is not None else None
        own = yaml.MappingNode(root.tag, [each for each in root.value if each[0].value != "action"], root.start_mark, root.end_mark)
        if action is None and (everywhere is None or _pair(root, "correlation") or _pair(root, "filter")):
            before = before if _pair(root, "correlation") or _pair(root, "filter") else root
            yield root, text
        elif action is None or (action == "repeat" and before is not None):
            before = _over(root, everywhere) if action is None and everywhere is not None else _over(before or root, own)
            yield before, yaml.serialize(before, Dumper=yaml.CSafeDumper, allow_unicode=True)
        elif action == "global":
            everywhere = before = own
        elif action == "reset":
            everywhere = None
        else:
            what = "there is no rule before it that it could repeat" if action == "repeat" else f"the action {action!r} is unknown"
            place = _mark(pair[0] if pair else root)
            wrong(Problem(path=source, line=place[0], column=place[1], what=what, fix="there are global, reset and repeat"))


def _over(below: yaml.MappingNode, above: yaml.MappingNode, depth: int = 0) -> yaml.MappingNode:
    """Both mappings in one: what stands above counts, mappings in both are joined."""
    pairs = {key.value: (key, value) for key, value in below.value if isinstance(key, yaml.ScalarNode)}
    for key, value in above.value:
        known = pairs.get(key.value) if isinstance(key, yaml.ScalarNode) else None
        if known and isinstance(value, yaml.MappingNode) and isinstance(known[1], yaml.MappingNode) and depth < MAX_DEPTH:
            value = _over(known[1], value, depth + 1)
        if isinstance(key, yaml.ScalarNode):
            pairs[key.value] = (known[0] if known else key, value)
    return yaml.MappingNode(below.tag, list(pairs.values()), below.start_mark, below.end_mark)


_APART = 500
"""The most documents of a text with a broken one that are tried by themselves: each is read with the lines before it blank."""


def _pieces(text: str) -> list[str]:
    """The documents of a text, told by their markers alone, each with its place in it; none where they are too many."""
    lines = text.split("\n")
    starts = [0, *(number for number, line in enumerate(lines) if line.rstrip() == "---" and number)]
    if len(starts) > _APART or len(text) > _CHARACTERS // 16:
        return []
    spans = zip(starts, [*starts[1:], len(lines)], strict=True)
    filled = ((start, end) for start, end in spans if any(line.rstrip() not in ("", "---") for line in lines[start:end]))
    return ["\n" * start + "\n".join(lines[start:end]) for start, end in filled]


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
            if id(node) in above:
                raise self._error("unfolds without end: its aliases contain each other", _mark(node))
            if visited > MAX_NODES:
                raise self._error(f"holds more than {MAX_NODES} values", _mark(node), "aliases count as what they stand for")
            if len(above) > MAX_DEPTH:
                raise self._error(f"is nested deeper than {MAX_DEPTH} levels", _mark(node))
            if isinstance(node, yaml.MappingNode):
                keys: set[str] = set()
                for key, value in node.value:
                    if not isinstance(key, yaml.ScalarNode):
                        problems.append(self._problem("a key is not a plain text", _mark(key)))
                    elif key.value in keys:
                        problems.append(self._problem(f"the key '{key.value}' stands twice", _mark(key)))
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
                    yield self._problem(f"'windash' varies at most {_DASHES} dashes of a value", _mark(each))
            if forms > _FORMS:
                yield self._problem(f"'windash' would make {forms} forms of these values, more than {_FORMS}", _mark(value))
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge") and key.tag != "tag:yaml.org,2002:value":
            yield self._problem(f"the key {key.value} is not a text", _mark(key), f"write it as '{key.value}'")

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
        return self._problem(what, _mark(self._root), fix)

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
                detection = _pair(self._root, "detection")
                pair = _pair(detection[1], name) if detection else None  # none: it came by a merge key, and has the place of that
                problems.extend(self._check_selection(str(name), definition, (pair or detection or (self._root,))[-1]))
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
        except (RecursionError, OverflowError) as error:
            yield self._problem(
                f"'{key or name}' is not evaluable: {'nested too deeply' if isinstance(error, RecursionError) else error}", place
            )
        except (IndexError, TypeError, AttributeError) as error:
            # pySigma takes some values apart before it looks whether they are of the kind that a modifier takes (an empty regex).
            yield self._problem(f"'{key or name}' has a value that its modifiers do not take: {error}", place)

    # --- the rule

    def rule(self, filters: Sequence[_Document] = ()) -> Rule:
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

    def correlated(self, pattern: Pattern, others: Sequence[_Document]) -> Rule:
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
        named = _pair(self._root, "id")
        return _mark(named[0] if named else self._root)[0] or 1

    def _head(self, rule_id: object, head: Mapping[str, Any], logic: Node, pattern: Pattern | None, documents: Sequence[_Document]) -> Rule:
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
                items = _items_of([rule.detection.detections["selection"]])
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
            for item in _items_of(made.detections.values()):
                compile_node(_item_node(item))
            if unfit := _unfit(made.condition[0]):
                raise self._error(f"its condition {unfit}", self._place("filter", "condition"))
            _condition_node(SigmaCondition(made.condition[0], made).parse(postprocess=False), made)
        except _UnknownSelection as error:
            what = f"the condition names '{error.name}', which no selection bears"
            raise self._error(what, self._place("filter", "condition")) from error
        except (
            SigmaError,
            BadValue,
            _NotEvaluable,
            TypeError,
            AttributeError,
            KeyError,
            IndexError,
            RecursionError,
            OverflowError,
        ) as error:
            # As with rules: values of unexpected kinds fail in whatever way Python does.
            raise self._error(f"is not a Sigma filter: {error}", self._place("filter")) from error

    def narrowed_by(self, filtering: _Document) -> bool:
        """Whether this filter, which was checked, is about this rule: it has its log source, or less of it, and names it, or any."""
        wanted, own = filtering._values["logsource"], self._values["logsource"]
        if any(wanted.get(key) not in (None, own.get(key)) for key in ("category", "product", "service")):
            return False
        rules = filtering._values["filter"]["rules"]
        if isinstance(rules, str):
            return rules.lower() == "any" or _reference(rules) in self.names
        return not rules or any(_reference(str(name)) in self.names for name in rules)

    def narrow(self, rule: SigmaRule) -> None:
        """Apply this filter, which was checked, to a freshly parsed rule that it is about."""
        from sigma.filters import SigmaFilter

        made = SigmaFilter.from_dict(deepcopy(self._values))
        made.filter.rules = "any"  # what it is about was seen: `narrowed_by`
        made.apply_on_rule(rule)

    def _logic(self, filters: Sequence[_Document]) -> Node:
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
        for label in _AUDITED.get(category, (str(category or service or "windows"),)):
            yield label, _audit() if is_audited(label) else _sysmon()

    def _variant(self, label: str, pipeline: ProcessingPipeline, filters: Sequence[_Document]) -> Node:
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
        return And(items=_flattened(body), label=label)

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


def _reference(name: str) -> str:
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


# --- pipelines ------------------------------------------------------------------------------------------------------------


_AUDITED = {
    "process_creation": ("Sysmon 1", "Security 4688"),
    "registry_event": ("Sysmon 12 to 14", "Security 4657"),
    "registry_set": ("Sysmon 13", "Security 4657"),
    "registry_add": ("Sysmon 12", "Security 4657"),
}
"""The categories that Security has events of, too, by pySigma's pipeline for that log, and what the two variants of a rule are called."""


def is_audited(label: str) -> bool:
    """Whether the variant of this name is the one that Windows itself audits."""
    return any(label == audit for _, audit in _AUDITED.values())


def fresh_pipeline(label: str) -> ProcessingPipeline:
    """The pipeline that adds channel and event id to a variant's rules, for a caller that puts others behind it: that changes them all."""
    return _audit_pipeline() if is_audited(label) else _sysmon_pipeline()


@cache
def _sysmon() -> ProcessingPipeline:
    return _sysmon_pipeline()


@cache
def _audit() -> ProcessingPipeline:
    return _audit_pipeline()


def _sysmon_pipeline() -> ProcessingPipeline:
    from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
    from sigma.pipelines.windows.windows import windows_logsource_pipeline

    stacked: ProcessingPipeline = sysmon_pipeline() + windows_logsource_pipeline() + _more_channels()
    return stacked


def _audit_pipeline() -> ProcessingPipeline:
    """A category as Security has it: process creation is 4688, a registry value that was added or set is 4657.

    Sysmon fields that the event lacks stay as they are and match nothing there; where pySigma says of a field that 4657 has nothing like
    it, the rule has no such variant. 4657 names a key by its object name (\\REGISTRY\\MACHINE\\...) and the value's name beside it, where
    Sysmon's TargetObject has both in one (HKLM\\...): a rule that asks for their whole, or for their end, does not match it there.

    What pySigma's pipeline leaves out: the account and the integrity level of 4688, which names the creator's account and, where the
    process runs under another, that one as well, and whose mandatory label is a SID, which is why rules list S-1-16-* beside the level's
    name; and that 4657's operation is logged as the number of a message, which only its rendering has in words.
    """
    from sigma.pipelines.common import logsource_windows
    from sigma.pipelines.windows.windows import windows_audit_pipeline, windows_logsource_pipeline
    from sigma.processing.conditions import IncludeFieldCondition
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import FieldMappingTransformation, MapStringTransformation

    accounts = FieldMappingTransformation({"User": ["SubjectUserName", "TargetUserName"], "IntegrityLevel": "MandatoryLabel"})
    operations = {"New registry value created": "%%1904", "Existing registry value modified": "%%1905"}
    numbered = MapStringTransformation({words: [words, number] for words, number in operations.items()})
    items = [
        ProcessingItem(accounts, rule_conditions=[logsource_windows("security")]),
        ProcessingItem(
            numbered,
            rule_conditions=[logsource_windows("security")],
            field_name_conditions=[IncludeFieldCondition(fields=["OperationType"])],
        ),
    ]
    return windows_audit_pipeline() + windows_logsource_pipeline() + ProcessingPipeline(items=items)


def _more_channels() -> ProcessingPipeline:
    """Services and categories of Sigma's taxonomy that pySigma's pipelines do not know.

    SigmaHQ's tests/thor.yml names the services' channels; two of them are providers, whose channels are here beside them.

    `file_access` is Microsoft-Windows-Kernel-File's Create (12), which is logged whenever a file is opened. `file_rename` is not here: no
    event of that provider has both names, which those rules compare.
    """
    from sigma.pipelines.common import logsource_windows
    from sigma.processing.conditions import LogsourceCondition
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import AddConditionTransformation

    channels: dict[str, str | list[str]] = {
        "application-experience": [
            "Microsoft-Windows-Application-Experience/Program-Telemetry",
            "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
        ],
        "hyper-v-worker": ["Microsoft-Windows-Hyper-V-Worker", "Microsoft-Windows-Hyper-V-Worker-Admin"],
        "iis-configuration": "Microsoft-IIS-Configuration/Operational",
        "kernel-event-tracing": ["Microsoft-Windows-Kernel-EventTracing", "Microsoft-Windows-Kernel-EventTracing/Admin"],
        "kernel-shimengine": ["Microsoft-Windows-Kernel-ShimEngine/Operational", "Microsoft-Windows-Kernel-ShimEngine/Diagnostic"],
        "ldap": "Microsoft-Windows-LDAP-Client/Debug",
        "ntfs": "Microsoft-Windows-Ntfs/Operational",
        "sense": "Microsoft-Windows-SENSE/Operational",
        "servicebus-client": ["Microsoft-ServiceBus-Client/Admin", "Microsoft-ServiceBus-Client/Operational"],
        "smbclient-connectivity": "Microsoft-Windows-SmbClient/Connectivity",
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
            if field is None:
                raise _NotEvaluable(f"the {part.name.lower()} of a time stamp is that of a field, and none is named")
            asked = Call(function=Function.TIME_PART, arguments=(FieldName(name=field), part.name.lower()))
            return Formula(term=Call(function=Function.EQUAL, arguments=(asked, int(number))), view=ViewName.FLAT)
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
