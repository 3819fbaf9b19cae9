"""Two censuses beside each other: in what the lab's events differ from recorded ones, and why a difference may remain.

Only what the lab emits is compared: other kinds are listed, not held against it. Pure. It must never know where either side came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.events.kinds import channel_name, title_of
from harness.model.conformance import Aspect, Conformance, Difference, EventKind, KindSeen, RelationSeen
from lab.conformance.census import LINED, Census, FieldSeen, KindCensus
from lab.conformance.forms import Form
from lab.conformance.reasons import Found, Reasons

_FIXED = ("provider", "guid", "version", "level", "task", "opcode", "keywords", "task name", "opcode name", "keyword names")
"""The parts of System that a kind's publisher fixes, and that every one of its events therefore has alike."""

_EXACT = frozenset(
    [Form.GUID, Form.BARE_GUID, Form.HEX, Form.NUMBER, Form.CODE, Form.SID, Form.TIME, Form.TRUTH, Form.PRIVILEGES, Form.ADDRESS]
)
"""Forms that a field has in all of its events or in none; a path may be a plain name in one of them, a name an account in another."""

_DOMAINS: dict[str, frozenset[str]] = {
    "integritylevel": frozenset(["untrusted", "low", "medium", "medium plus", "high", "system", "protected process", "appcontainer", "?"]),
    "initiated": frozenset(["true", "false"]),
    "logontype": frozenset(["0", "2", "3", "4", "5", "7", "8", "9", "10", "11", "12", "13"]),
    "direction": frozenset(["%%14592", "%%14593"]),
    "tokenelevationtype": frozenset(["%%1936", "%%1937", "%%1938"]),
    "impersonationlevel": frozenset(["%%1832", "%%1833", "%%1840"]),
    "elevatedtoken": frozenset(["%%1842", "%%1843"]),
    "virtualaccount": frozenset(["%%1842", "%%1843"]),
    "restrictedadminmode": frozenset(["%%1842", "%%1843"]),
    "data.newenginestate": frozenset(["none", "available", "degraded", "outofservice", "stopped"]),
    "data.previousenginestate": frozenset(["none", "available", "degraded", "outofservice", "stopped"]),
    "data.newproviderstate": frozenset(["started", "stopped"]),
}
"""The values that a field can have, as Microsoft's pages of the events and Sysmon's and PowerShell's documentation list them."""

_MOST_SAID = 3


def compare(lab: Census, recorded: Census, reasons: Reasons, *, recordings: Sequence[str] = (), broken: int = 0) -> Conformance:
    """What the two sides have in common, and in what they differ; differences without a reason stand last."""
    both = sorted(lab.kinds.keys() & recorded.kinds.keys())
    found = [one for kind in both for one in _kind(kind, lab.kinds[kind], recorded.kinds[kind])]
    relations = _relations(lab, recorded)
    found += _broken_relations(lab, recorded)
    judged = [_judged(one, lab, recorded, reasons) for one in found]
    return Conformance(
        recordings=tuple(recordings),
        events=recorded.events,
        broken=broken,
        compared=tuple(_seen(kind, lab, recorded) for kind in both),
        not_recorded=tuple(_seen(kind, lab, recorded) for kind in sorted(lab.kinds.keys() - recorded.kinds.keys())),
        not_emitted=tuple(_seen(kind, lab, recorded) for kind in sorted(recorded.kinds.keys() - lab.kinds.keys())),
        relations=relations,
        differences=tuple(sorted(judged, key=lambda one: (one.reason is None, one.kind, one.field, one.aspect))),
    )


def _judged(found: Found, lab: Census, recorded: Census, reasons: Reasons) -> Difference:
    ours, theirs = lab.kinds.get(found.kind, KindCensus()), recorded.kinds.get(found.kind, KindCensus())
    reason, fact = reasons.of(found, ours.versions, theirs.versions, recorded.shippers)
    return Difference(
        kind=found.kind,
        field=found.field,
        aspect=found.aspect,
        lab=found.lab,
        recorded=found.recorded,
        count=found.count,
        reason=reason,
        fact=fact,
    )


def _kind(kind: EventKind, lab: KindCensus, recorded: KindCensus) -> Iterator[Found]:
    for part in _FIXED:
        ours, theirs = lab.head.get(part), recorded.head.get(part)
        if ours is not None and theirs is not None:
            known = {value.lower() for value in ours.values}
            others = {value: number for value, number in theirs.values.items() if value.lower() not in known}
            if others:
                yield Found(kind, part, Aspect.HEAD, _said(ours), ", ".join(list(others)[:_MOST_SAID]), sum(others.values()))
    passed_over = []
    for text in LINED:
        our_lines, their_lines = _lines(lab, text), _lines(recorded, text)
        if our_lines and our_lines.isdisjoint(their_lines):  # one difference, not one for each of its lines
            passed_over.append(f"{text}.")
            if their_lines:
                yield Found(kind, text, Aspect.FORM, "lines under their English names", "lines under other names", recorded.count)
            elif text not in lab.fields:
                yield Found(kind, text, Aspect.ADDED, "a text of lines", "nothing", recorded.count)
    for name in sorted(lab.fields.keys() | recorded.fields.keys()):
        if not name.startswith(tuple(passed_over)):
            yield from _field(kind, name, lab, recorded)


def _lines(side: KindCensus, text: str) -> frozenset[str]:
    return frozenset(name for name in side.fields if name.startswith(f"{text}."))


def _field(kind: EventKind, name: str, lab: KindCensus, recorded: KindCensus) -> Iterator[Found]:
    ours, theirs = lab.fields.get(name), recorded.fields.get(name)
    if ours is None:
        assert theirs is not None
        if theirs.filled:
            yield Found(kind, name, Aspect.MISSING, "no such field", _said(theirs), theirs.present)
        return
    if theirs is None:
        if ours.filled == lab.count:
            yield Found(kind, name, Aspect.ADDED, _said(ours), "no such field", recorded.count)
        return
    if theirs.filled == recorded.count and not ours.filled:
        yield Found(kind, name, Aspect.EMPTY, "never filled", _said(theirs), theirs.filled)
    if ours.filled == lab.count and not theirs.filled:
        yield Found(kind, name, Aspect.EMPTY, _said(ours), "never filled", theirs.present)
    yield from _forms(kind, name, ours, theirs)
    if (domain := _DOMAINS.get(name)) is not None:
        for side, seen in (("lab", ours), ("recorded", theirs)):
            outside = {value: n for value, n in seen.values.items() if value not in ("", "-") and value.lower() not in domain}
            if outside and not _forms_differ(ours, theirs):
                said = f"{', '.join(list(outside)[:_MOST_SAID])}, which it cannot be"
                lab_says, recording_says = (said, _said(theirs)) if side == "lab" else (_said(ours), said)
                yield Found(kind, name, Aspect.VALUE, lab_says, recording_says, sum(outside.values()))


def _forms(kind: EventKind, name: str, ours: FieldSeen, theirs: FieldSeen) -> Iterator[Found]:
    strange = _forms_differ(ours, theirs)
    if strange:
        yield Found(kind, name, Aspect.FORM, _said(ours), _said(theirs, strange), sum(theirs.forms[form] for form in strange), ours.main)


def _forms_differ(ours: FieldSeen, theirs: FieldSeen) -> frozenset[Form]:
    """The recorded forms that the lab's values have not, where that means something."""
    lab, recorded = set(ours.forms) - {Form.NONE}, frozenset(theirs.forms) - {Form.NONE}
    if not lab or not recorded:
        return frozenset()
    if lab <= _EXACT:
        return recorded - lab or (recorded if recorded <= _EXACT and lab - recorded and len(recorded) == 1 else frozenset())
    return recorded if recorded <= _EXACT and not recorded & lab else frozenset()


def _said(seen: FieldSeen, only: frozenset[Form] = frozenset()) -> str:
    """What a field holds: its forms, and a value."""
    forms = [form for form, _ in seen.forms.most_common() if form is not Form.NONE and (not only or form in only)]
    sample = seen.sample(only)
    return f"{' or '.join(forms[:_MOST_SAID])}, as {sample!r}" if forms else "nothing"


def _seen(kind: EventKind, lab: Census, recorded: Census) -> KindSeen:
    ours, theirs = lab.kinds.get(kind, KindCensus()), recorded.kinds.get(kind, KindCensus())
    return KindSeen(
        kind=kind,
        title=title_of(channel_name(kind.channel), kind.event_id),
        lab=ours.count,
        recorded=theirs.count,
        lab_versions=ours.versions,
        recorded_versions=theirs.versions,
    )


def _relations(lab: Census, recorded: Census) -> tuple[RelationSeen, ...]:
    theirs = recorded.ends.held()
    return tuple(RelationSeen(name=name, lab=bool(held), recorded=theirs[name]) for name, held in lab.ends.held().items())


def _broken_relations(lab: Census, recorded: Census) -> Iterator[Found]:
    for name, (kind, ours, theirs) in {
        relation.name: (relation.left.kind, lab.ends.held()[relation.name], recorded.ends.held()[relation.name])
        for relation in lab.ends.relations
    }.items():
        if theirs is True and not ours:
            yield Found(kind, name, Aspect.RELATION, "never", "holds", 1)
        if theirs is False and ours:
            yield Found(kind, name, Aspect.RELATION, "holds", "never", 1)
