"""The texts of Sigma rules: YAML documents with the place of every value, their actions done. It must never know what a rule says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml

from harness.documents import MAX_DEPTH, MAX_NODES
from harness.errors import Problem, UsageError

CHARACTERS = 16 << 20
"""The largest text that is read: twice all of SigmaHQ's rules in one."""

_SIMPLE = 20_000
"""Characters of a text that libyaml's composer can be given as it is. It recurses on nested input, and a larger one could end its stack."""


def compose(text: str, source: str) -> list[yaml.MappingNode]:
    """The text's documents, each a mapping; empty ones are left out. Raises `UsageError`."""

    def wrong(what: str, place: tuple[int, int] = (0, 0), fix: str = "") -> UsageError:
        return UsageError(Problem(path=source, line=place[0], column=place[1], what=what, fix=fix))

    if len(text) > CHARACTERS:
        raise wrong(f"is longer than the {CHARACTERS} characters that are read")
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
                raise wrong("is not a mapping", mark_of(node), "a Sigma rule is a mapping with title, id, logsource and detection")
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
                raise wrong(f"is nested deeper than {MAX_DEPTH} levels", at_of(event.start_mark))
            if count > MAX_NODES:
                raise wrong(f"holds more than {MAX_NODES} values", at_of(event.start_mark))
    finally:
        loader.dispose()


def acted(
    documents: Sequence[tuple[yaml.MappingNode, str]], source: str, wrong: Callable[[Problem], None]
) -> Iterator[tuple[yaml.MappingNode, str]]:
    """The documents with their actions done, as pySigma's collections do them: rules alone, each with a text that says the same.

    What a `global` document holds goes into every rule after it, over what the rule says itself, until a `reset`; a `repeat` is the rule
    before it with what it says itself over that. Filters and correlations are left as they are.
    """
    everywhere: yaml.MappingNode | None = None
    before: yaml.MappingNode | None = None
    for root, text in documents:
        pair = pair_of(root, "action")
        action = pair[1].value if pair is not None else None
        own = yaml.MappingNode(root.tag, [each for each in root.value if each[0].value != "action"], root.start_mark, root.end_mark)
        if action is None and (everywhere is None or pair_of(root, "correlation") or pair_of(root, "filter")):
            before = before if pair_of(root, "correlation") or pair_of(root, "filter") else root
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
            place = mark_of(pair[0] if pair else root)
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


def pieces_of(text: str) -> list[str]:
    """The documents of a text, told by their markers alone, each with its place in it; none where they are too many."""
    lines = text.split("\n")
    starts = [0, *(number for number, line in enumerate(lines) if line.rstrip() == "---" and number)]
    if len(starts) > _APART or len(text) > CHARACTERS // 16:
        return []
    spans = zip(starts, [*starts[1:], len(lines)], strict=True)
    filled = ((start, end) for start, end in spans if any(line.rstrip() not in ("", "---") for line in lines[start:end]))
    return ["\n" * start + "\n".join(lines[start:end]) for start, end in filled]


def parts_of(text: str, roots: list[yaml.MappingNode]) -> Iterator[str]:
    """Each document's own text: from where it starts to the marker after it."""
    lines = text.splitlines()
    for root in roots:
        first, *rest = lines[root.start_mark.line :]
        end = next((number for number, line in enumerate(rest) if line.startswith(("---", "..."))), len(rest))
        yield "\n".join((first[root.start_mark.column :], *rest[:end])) + "\n"


def at_of(mark: Any) -> tuple[int, int]:
    """Line and column of one of PyYAML's marks, from 1; 0 where there is none."""
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def mark_of(node: yaml.Node | None) -> tuple[int, int]:
    """Where the node begins."""
    return at_of(node.start_mark) if node else (0, 0)


def pair_of(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """The key of this name in a mapping, and its value."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((name, value) for name, value in node.value if name.value == key), None)
