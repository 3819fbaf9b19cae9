"""Sigma rules: pySigma parses them, its pipelines add channel and event id, and what comes out is the predicate tree.

Every exception of pySigma or PyYAML ends in this room, as a `Problem` with line and column. What the tree cannot say (a placeholder without
a value) is refused and named; it is never matched as something else. Documents of several files may refer to each other: filters narrow
the rules that they name, correlations count their matches.

pySigma is imported when the first rule is parsed, because it costs more than the rest of a short command together. This room must
never know an event, a scenario or a SIEM.

Formats: https://sigmahq.io/sigma-specification (Sigma Rules 2.1, Correlation Rules 2.0, Filters 2.0, Modifiers appendix, Taxonomy
appendix). What pySigma reads beside them: the actions `global`, `reset` and `repeat` of several documents in one file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from harness.errors import Problem, UsageError
from harness.files import read_bounded
from harness.model.intent import Rule
from harness.model.tree import Or
from harness.ports import Linked
from harness.rules.sigma.correlation import correlation_of
from harness.rules.sigma.document import LANGUAGE as LANGUAGE
from harness.rules.sigma.document import Document
from harness.rules.sigma.texts import CHARACTERS, acted, compose, parts_of, pieces_of

_REFERRING = re.compile(r"^(correlation|filter):", re.MULTILINE)
"""A text with a document that is about other rules. Only such a text has to be read before the others."""


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
        self._filters: list[Document] = []
        self._wanted: set[str] = set()
        self._named: dict[str, list[Document]] = {}
        self._made: list[Document | Rule] = []
        self._rules: dict[Document, Rule] = {}

    def open(self, source: str, text: str) -> list[Document]:
        """The text's documents; what is wrong with one of them is noted, and it is left out."""
        documents = []
        for root, part in acted(self._composed(source, text), source, self._problems.append):
            try:
                document = Document(root, part, source)
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
            roots = compose(text, source)
            return [(roots[0], text)] if len(roots) == 1 else list(zip(roots, parts_of(text, roots), strict=True))
        except UsageError as error:
            pieces = pieces_of(text)
            if len(pieces) < 2:
                self._problems.extend(error.problems)
        roots = []
        for piece in pieces if len(pieces) > 1 else ():
            try:
                roots.extend(compose(piece, source))
            except UsageError as error:
                self._problems.extend(error.problems)
        return list(zip(roots, parts_of(text, roots), strict=True))

    def take(self, document: Document) -> None:
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
        silent: dict[Document, Rule] = {}
        for document in self._made:
            if isinstance(document, Document) and document.is_correlation:
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

    def _correlate(self, document: Document, silent: dict[Document, Rule]) -> None:
        document.check_head()
        read = correlation_of(document, self._named, self._rules)
        rule = self._rules[document] = document.correlated(read.pattern, [*read.below, *self._fitting(read.below)])
        if not read.generate:
            silent.update(dict.fromkeys(read.referred, rule))

    def _fitting(self, below: Sequence[Document]) -> list[Document]:
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
        data = read_bounded(path, CHARACTERS)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text", fix="save it as UTF-8")) from error
    if len(data) > CHARACTERS:
        raise UsageError(Problem(path=str(path), what=f"is longer than the {CHARACTERS} bytes that are read"))
    return text.replace("\r\n", "\n").replace("\r", "\n")
