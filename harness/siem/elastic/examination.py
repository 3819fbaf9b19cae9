"""What can be wrong with an Elasticsearch before anything is asked of it: rights, indices, and the fields that rules need.

Each index is asked by itself, so that one that may not be read hides no other. It must never know where a rule came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.errors import SiemDenied, SiemError
from harness.model.health import Finding, Health
from harness.model.tree import And, Node, Not, Op, Or, Test
from harness.siem.elastic.wire import Search, Wire

_MOST_NAMED = 5


def examined(wire: Wire, events: Sequence[str], others: Sequence[str], asked: Mapping[str, Node]) -> Iterator[Finding]:
    """Each pattern of `events`, each index of the detection engines (`others`), and the fields that rules ask for, by the rules' ids.

    Raises `SiemError` where nothing can be asked at all.
    """
    there = []
    for index in dict.fromkeys([*events, *others]):
        try:
            shards = wire.search([Search(index=index, query={"match_none": {}}, size=0)])[0].shards
        except SiemDenied as error:
            if "(401" in str(error):
                raise
            fix = f"give the user the rights read and view_index_metadata on {index}"
            yield Finding(about=f"index {index}", health=Health.BROKEN, what=str(error), fix=fix)
            continue
        if shards:
            there.append(index)
            yield Finding(about=f"index {index}", health=Health.OK, what="may be read")
        elif index in others:
            fix = "has the detection engine run against this Elasticsearch? siem.writeback, siem.space and siem.alerts name its indices"
            yield Finding(about=f"index {index}", health=Health.BROKEN, what="there is none", fix=fix)
        else:
            fix = "take it out of siem.events, or let a shipper write to it"
            yield Finding(about=f"index {index}", health=Health.WARNING, what="there is none", fix=fix)
    readable = [index for index in events if index in there]
    if not readable:
        fix = "name in siem.events where your shippers write to"
        yield Finding(about="events", health=Health.BROKEN, what="no index of siem.events can be read", fix=fix)
        return
    try:
        types = wire.field_types(",".join(readable))
    except SiemError as error:
        yield Finding(about="mappings", health=Health.UNKNOWN, what=str(error), fix="give the user the right view_index_metadata")
        return
    yield from _fields(types, asked)


def _fields(types: Mapping[str, frozenset[str]], asked: Mapping[str, Node]) -> Iterator[Finding]:
    """Rules that no event in these indices can have satisfied, and fields that are not there or not as rules take them."""
    dead: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for rule, node in asked.items():
        missing = sorted(name for name in _names(node) if name not in types)
        if _can_be(node, types):
            for name in missing:
                lacking.setdefault(name, []).append(rule)
        else:
            dead[rule] = missing
    fix = "let the shipper's ingest pipelines fill them and its template map them, or deploy the rule for the fields that there are"
    for rule, missing in dead.items():
        # A mapping may grow with the first event that has a field: that none has so far is no proof.
        what = f"no event so far can satisfy it: no mapping has {_some(missing)}"
        yield Finding(about=f"rule {rule}", health=Health.WARNING, what=what, fix=fix)
    for name, rules in lacking.items():
        what = f"no mapping has it; {_some(rules)} can fire without it"
        yield Finding(about=f"field {name}", health=Health.WARNING, what=what, fix="no event has had it so far, or its template is missing")
    for name in sorted({name for node in asked.values() for name in _names(node)} & types.keys()):
        if types[name] == {"text"} and not any(also in types for also in (f"{name}.keyword",)):
            what = "it is analysed text: patterns over the whole of it find nothing"
            yield Finding(about=f"field {name}", health=Health.WARNING, what=what, fix="map it as wildcard or keyword")
    fine = len(asked) - len(dead)
    if asked:
        yield Finding(about="mappings", health=Health.OK, what=f"{fine} of {len(asked)} rules can fire on the fields that are mapped")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _names(node: Node) -> frozenset[str]:
    match node:
        case And(items=items) | Or(items=items):
            return frozenset[str]().union(*map(_names, items))
        case Not(item=item):
            return _names(item)
        case Test(field=str(name)):
            return frozenset([name])
        case _:
            return frozenset()


def _can_be(node: Node, types: Mapping[str, frozenset[str]], wanted: bool = True) -> bool:
    """Whether the node can be `wanted` on some event whose fields are among these."""
    match node:
        case And(items=items) | Or(items=items):
            each = [_can_be(item, types, wanted) for item in items]
            return all(each) if isinstance(node, And) is wanted else any(each)
        case Not(item=item):
            return _can_be(item, types, not wanted)
        case Test(field=str(name)) if name not in types:
            absent = node.op is Op.IS_NULL or (node.op is Op.EXISTS and node.value is False)
            return absent is wanted
        case _:
            return True
