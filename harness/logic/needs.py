"""What does a rule need before it can fire? Read off its tree: the kinds of event it reads, and whether an action can produce them.

The second is a three-valued evaluation (Kleene's) of the tree over *situations*: events of which only what Windows itself settles is
known (who a process's parent is, which way a connection went) and everything else is not. A rule cannot be exercised by an action where
it is false in every situation that the action brings about, and may be true in one that it does not bring about: that one names the need.
A value that fits no situation at all (a misspelt parent) leaves a rule exercisable, so that it is judged, and found missing, on real
events. This module must never know a rule's id, and never says "cannot" where it is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache

from harness.events.ecs import CLASSES, can_bear, made
from harness.events.endpoint import is_endpoint
from harness.logic.index import field_key
from harness.logic.match import View, compile_node, fold, key_of, text_of
from harness.logic.reach import Reach, looking_program, reach
from harness.model.facts import FlatValue
from harness.model.intent import Action, Connect, EnterPSSession, InvokeCommand, Remoting, Rule, Unexercisable, WinRS, remoting
from harness.model.tree import And, Correlation, Formula, Measure, Node, Not, Op, Or, Pattern, Test, ViewName

ANY_CHANNEL = "*"
"""In a kind: the tree does not tie the rule to a channel."""

ANY_EVENT_ID = -1
"""In a kind: the tree does not tie the rule to an event id."""

Kind = tuple[str, int]

_EVERYTHING: frozenset[Kind] = frozenset([(ANY_CHANNEL, ANY_EVENT_ID)])


def kinds(node: Node) -> frozenset[Kind]:
    """The kinds of event that may satisfy the tree: channel in lower case, or `ANY_CHANNEL`, and event id, or `ANY_EVENT_ID`.

    Never too few; too many where the tree ties its kinds by anything but equality, or excludes some.
    """
    if isinstance(node, Test):
        return _kinds_of_test(node)
    found = _EVERYTHING
    if isinstance(node, And):
        for item in node.items:
            other = kinds(item)
            if other is not _EVERYTHING:
                found = other if found is _EVERYTHING else frozenset(both for a in found for b in other if (both := _both(a, b)))
    elif isinstance(node, Or):
        parts = set(map(kinds, node.items))
        if parts != {_EVERYTHING}:
            found = frozenset().union(*parts)
    return found


def rule_kinds(rule: Rule) -> frozenset[Kind]:
    """The kinds of event that the rule reads. A pattern reads those of all its stages, of missing ones and of what ends it."""
    if rule.pattern is None:
        return kinds(rule.logic)
    return kinds(Or(items=tuple(stage.condition for stage in rule.pattern.asked)))


def reads(wanted: frozenset[Kind], channel: str, event_id: int) -> bool:
    """Whether an event of this channel and id is of one of these kinds."""
    folded = fold(channel)
    return any(name in (folded, ANY_CHANNEL) and number in (event_id, ANY_EVENT_ID) for name, number in wanted)


def _kinds_of_test(test: Test) -> frozenset[Kind]:
    if test.op is not Op.EQUALS or test.field is None or not isinstance(test.value, str | int):
        return _EVERYTHING
    key = field_key(test.field)
    if test.view is ViewName.ECS:
        return _kinds_of_ecs_test(key, test.value) if isinstance(test.value, str) else _EVERYTHING
    if key == "channel":
        return frozenset([(fold(text_of(test.value)), ANY_EVENT_ID)])
    if key == "eventid":
        value = text_of(test.value)
        return frozenset([(ANY_CHANNEL, int(value))]) if value.isdecimal() else frozenset()
    return _EVERYTHING


def _kinds_of_ecs_test(field_key: str, value: str) -> frozenset[Kind]:
    if field_key == "event.category":
        return frozenset(kind for kind, found in CLASSES.items() if value.lower() in found.category)
    if field_key == "event.type":
        return frozenset(kind for kind, found in CLASSES.items() if value.lower() in found.type)
    if field_key == "event.code":
        return frozenset([(ANY_CHANNEL, int(value))]) if value.isdecimal() else frozenset()
    return _EVERYTHING


def _both(one: Kind, other: Kind) -> Kind | None:
    channel = one[0] if other[0] == ANY_CHANNEL else other[0]
    event_id = one[1] if other[1] == ANY_EVENT_ID else other[1]
    if one[0] not in (channel, ANY_CHANNEL) or one[1] not in (event_id, ANY_EVENT_ID):
        return None
    return channel, event_id


# --- situations -----------------------------------------------------------------------------------------------------------

SECURITY = "security"
SYSMON = "microsoft-windows-sysmon/operational"
POWERSHELL = "microsoft-windows-powershell/operational"
POWERSHELL_CORE = "powershellcore/operational"
POWERSHELL_CLASSIC = "windows powershell"

_SYSTEM32 = "C:\\Windows\\System32\\"
_SESSION_HOST = _SYSTEM32 + "wsmprovhost.exe"
_SHELL_HOST = _SYSTEM32 + "winrshost.exe"
_CMD = _SYSTEM32 + "cmd.exe"  # what the shell's host starts, whatever the line is
_STARTER = _SYSTEM32 + "svchost.exe"  # DCOM's, which starts both hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """An event in part: its kind, and of its fields (flat names) those that are settled. Every other field is unknown."""

    channel: str
    event_id: int
    known: Mapping[str, FlatValue] = field(default_factory=dict)

    def fields(self) -> Mapping[str, FlatValue]:
        """All that is known, the kind included."""
        return {"channel": self.channel, "eventid": self.event_id, **self.known}


def _process(*, parent: str, image: str | None = None) -> tuple[Situation, ...]:
    """A process's creation in both logs that have it (Security 4688, Sysmon 1)."""
    security: dict[str, FlatValue] = {"parentprocessname": parent}
    sysmon: dict[str, FlatValue] = {"parentimage": parent}
    if image is not None:
        security["newprocessname"] = sysmon["image"] = image
    return (
        Situation(channel=SECURITY, event_id=4688, known=security),
        Situation(channel=SYSMON, event_id=1, known=sysmon),
    )


def _connection(*, inbound: bool, loopback: bool = False) -> tuple[Situation, ...]:
    """A connection on the machine that accepts it or opens it: Sysmon 3, and Security 5156 with the layers of IPv4 and IPv6."""
    layers = ("44", "46") if inbound else ("48", "50")  # FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4, _V6; FWPM_LAYER_ALE_AUTH_CONNECT_V4, _V6
    initiated, direction = ("false", "%%14592") if inbound else ("true", "%%14593")
    found = []
    for layer, address in zip(layers, _LOOPBACK, strict=True):
        sysmon: dict[str, FlatValue] = {"initiated": initiated}
        security: dict[str, FlatValue] = {"direction": direction, "layerrtid": layer}
        if loopback:
            sysmon |= dict.fromkeys(("sourceip", "destinationip"), address)
            security |= dict.fromkeys(("sourceaddress", "destaddress"), address)
        found.append(Situation(channel=SYSMON, event_id=3, known=sysmon))
        found.append(Situation(channel=SECURITY, event_id=5156, known=security))
    return tuple(found)


_LOOPBACK = ("127.0.0.1", "::1")

_ACCEPTED = _connection(inbound=True)
_ACCEPTED_LOOPBACK = _connection(inbound=True, loopback=True)
_LOGON = (
    Situation(channel=SECURITY, event_id=4624, known={"logontype": "3"}),
    Situation(channel=SECURITY, event_id=4672),
    Situation(channel=SECURITY, event_id=4634),
)
_ENGINE = (
    *_process(parent=_STARTER, image=_SESSION_HOST),
    *(Situation(channel=POWERSHELL_CLASSIC, event_id=event_id) for event_id in (400, 403, 600)),
)
_SHELL_STARTED = _process(parent=_STARTER, image=_SHELL_HOST)
_LEFT_BY: Mapping[Remoting, tuple[Situation, ...]] = {
    Remoting.PSRP: (*_LOGON, *_ENGINE),
    Remoting.WINRS: (*_LOGON, *_SHELL_STARTED),
}
"""What opening and closing a session leaves on its target, whatever is done in it, but for its connection."""

_COMMANDS = tuple(Situation(channel=channel, event_id=event_id) for channel in (POWERSHELL, POWERSHELL_CORE) for event_id in (4103, 4104))
_CHILD = _process(parent=_SESSION_HOST)
_OUTBOUND = _connection(inbound=False)
_SHELL = (*_process(parent=_SHELL_HOST), *_SHELL_STARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Situations that not every action brings about, and what to tell whoever relies on one: what it is, why it is not there, and what
    brings it."""

    name: str
    what: str
    situations: tuple[Situation, ...]
    reason: str
    remedy: str


OTHER_MACHINE = Need(
    name="network leg",
    what="a connection from another machine: loopback does not count",
    situations=_ACCEPTED,
    reason="it reads a connection that is not loopback, and this driver is the target itself",
    remedy="drive it from another machine",
)
COMMAND = Need(
    name="kind of event",
    what="a command or script that PowerShell logs",
    situations=_COMMANDS,
    reason="it reads commands or scripts as PowerShell logs them, and this action runs none",
    remedy="Get-Date",
)
CHILD_PROCESS = Need(
    name="child process",
    what="a process that the session's host (wsmprovhost.exe) starts",
    situations=_CHILD,
    reason="it reads a process that the session's host (wsmprovhost.exe) started; a cmdlet runs inside that host and starts none",
    remedy="whoami.exe",
)
SOURCE_SIDE = Need(
    name="source side",
    what="the events of the machine that opens a connection",
    situations=_OUTBOUND,
    reason="it reads a connection on the machine that opened it; the target only accepted one, and this driver is no Windows host",
    remedy="go by way of another Windows host whose events reach the SIEM (via: NAME), or drive it from one",
)
REMOTE_SHELL = Need(
    name="remote shell",
    what="a process that the Windows Remote Shell's host (winrshost.exe) starts",
    situations=_SHELL,
    reason="it reads what the Windows Remote Shell's host (winrshost.exe) starts; a PowerShell session has another host",
    remedy="run the command through WinRS",
)
SHELL_COMMAND = Need(
    name="child process",
    what="a process that the Windows Remote Shell's host (winrshost.exe) starts",
    situations=_process(parent=_SHELL_HOST, image=_CMD),
    reason="it reads a process that the Windows Remote Shell's host (winrshost.exe) started, and this action runs no command line",
    remedy="winrs: ipconfig.exe /all",
)
POWERSHELL_SESSION = Need(
    name="PowerShell session",
    what="what a PowerShell session leaves: its host (wsmprovhost.exe), its engine, what it runs",
    situations=(*_ENGINE, *_COMMANDS, *_CHILD),
    reason="it reads what a PowerShell session leaves (wsmprovhost.exe, its engine); a Windows Remote Shell has another host and no engine",
    remedy="run the command through Invoke-Command",
)
NEEDS = (OTHER_MACHINE, COMMAND, CHILD_PROCESS, SOURCE_SIDE, REMOTE_SHELL)
"""In the order in which they are told: the one that is met most easily first."""

_NEEDS_OF_SHELL = (OTHER_MACHINE, SHELL_COMMAND, POWERSHELL_SESSION, SOURCE_SIDE)
"""The same, for who has a Windows Remote Shell already."""


def unexercisable(
    rule: Rule, action: Action, *, driver_is_windows: bool, over_loopback: bool = False, by_jump_host: bool = False
) -> Unexercisable | None:
    """Why this action cannot make the rule fire; None where it can, or may.

    `driver_is_windows`: the machine that drives the session logs the source's side of it. `over_loopback`: that machine is the target.
    `by_jump_host`: another Windows host opens the session, in one of its own, and its events count.
    Raises `BadValue` as matching does.
    """
    met = _met(action, driver_is_windows=driver_is_windows or by_jump_host, over_loopback=over_loopback)
    if by_jump_host and COMMAND not in met:
        met = (*met, COMMAND)  # New-PSSession, on the jump host
    # A pattern wants each of its events: the first that the action cannot bring about says what is missing.
    produced = (*_LEFT_BY[remoting(action)], *_started_by(action))
    known = NEEDS if remoting(action) is Remoting.PSRP else _NEEDS_OF_SHELL
    needs = (_unmet(wanted, met, produced, known) for wanted in wanted_by(rule))
    return next((Unexercisable(need=need.name, reason=need.reason, remedy=need.remedy) for need in needs if need is not None), None)


def wanted_by(rule: Rule) -> tuple[Node, ...]:
    """What each event must satisfy that the rule needs before it can fire: one of them, or each present stage of its pattern.

    A correlation needs an event of each rule that must be there, or else one of any rule that it counts.
    """
    if rule.pattern is None:
        return (rule.logic,)
    if rule.pattern.correlation is not None:
        return _counted(rule.pattern.correlation, rule.pattern)
    return tuple(stage.condition for stage in rule.pattern.stages if not stage.missing)


def _counted(correlation: Correlation, pattern: Pattern) -> tuple[Node, ...]:
    parts = {
        key_of(part.name): _counted(part.of, pattern) if isinstance(part.of, Correlation) else (pattern.stages[part.of].condition,)
        for part in correlation.parts
    }
    needed = _needed_parts(correlation.condition, parts, len(correlation.parts))
    return needed or (Or(items=tuple(And(items=each) for each in parts.values())),)


def _needed_parts(condition: Node, parts: Mapping[str, tuple[Node, ...]], count: int) -> tuple[Node, ...]:
    """What events must be there for a condition to hold, where it asks for rules; nothing where it counts."""
    match condition:
        case Test(op=Op.EXISTS, field=str(name)):
            return parts.get(key_of(name), ())
        case Test(field=Measure.RULES | Measure.RULES_IN_ORDER, op=Op.GREATER_OR_EQUAL | Op.EQUALS, value=int(wanted)) if wanted >= count:
            return tuple(node for each in parts.values() for node in each)
        case And(items=items):
            return tuple(node for item in items for node in _needed_parts(item, parts, count))
        case Or(items=items):
            choices = [_needed_parts(item, parts, count) for item in items]
            return (Or(items=tuple(And(items=each) for each in choices)),) if all(choices) else ()
        case _:
            return ()


def session_needs(rule: Rule) -> Iterator[Need]:
    """What a session from another machine must do besides being there, and from where, to give the rule each of its events; each once.

    Nothing is said of a rule that no known situation can satisfy. Raises `BadValue` as matching does.
    """
    told: set[str] = set()
    for wanted in wanted_by(rule):
        # Not over loopback: only where such a connection would not do is that a need.
        need = _unmet(wanted, ()) or _unmet(wanted, (OTHER_MACHINE,))
        if need is not None and need.name not in told:
            told.add(need.name)
            yield need


def _started_by(action: Action) -> tuple[Situation, ...]:
    """The program that a remote shell's line starts, where it is certain: a child of cmd.exe."""
    program = looking_program(action.command) if isinstance(action, WinRS) else None
    return _process(parent=_CMD, image=f"{_SYSTEM32}{program}.exe") if program else ()


def _unmet(
    logic: Node,
    met: tuple[Need, ...],
    left: Iterable[Situation] = _LEFT_BY[Remoting.PSRP],
    known: Sequence[Need] = NEEDS,
) -> Need | None:
    """The first of the known needs that would make the rule possible; None where what the action left, and the needs that it met, do."""
    produced = (*_ACCEPTED_LOOPBACK, *left, *(situation for need in met for situation in need.situations))
    if any(_holds(logic, situation, forgiving=True) is not False for situation in produced):
        return None
    for need in known:
        if need not in met and any(_holds(logic, situation, forgiving=False) is not False for situation in need.situations):
            return need
    return None


def able_kinds(logic: Node) -> frozenset[Kind]:
    """Of the kinds of Windows events that the tree reads, those whose events have the fields that it cannot do without, as far as is known.

    May be none. Of the Elastic Endpoint's events, which no Windows event stands for, any may have any field: see `endpoint_kinds`.
    """
    return frozenset(
        (channel, event_id)
        for channel, event_id in kinds(logic)
        if not is_endpoint(channel)
        and (
            channel == ANY_CHANNEL
            or event_id == ANY_EVENT_ID
            or _holds(logic, Situation(channel=channel, event_id=event_id), forgiving=False) is not False
        )
    )


def endpoint_kinds(logic: Node) -> frozenset[Kind]:
    """Of the kinds that the tree reads, those of the Elastic Endpoint."""
    return frozenset(kind for kind in kinds(logic) if is_endpoint(kind[0]))


def _met(action: Action, *, driver_is_windows: bool, over_loopback: bool) -> tuple[Need, ...]:
    """The needs that the action meets, or may."""
    match action:
        case Connect():
            met = list[Need]()
        case EnterPSSession(lines=texts):
            met = _met_by_text(texts)
        case InvokeCommand(script=text):
            met = _met_by_text((text,))
        case WinRS(command=line):
            met = [SHELL_COMMAND] if looking_program(line) is not None else [*_NEEDS_OF_SHELL[1:], REMOTE_SHELL]
    if driver_is_windows and SOURCE_SIDE not in met:
        met.append(SOURCE_SIDE)
    if not over_loopback and OTHER_MACHINE not in met:
        met.append(OTHER_MACHINE)
    return tuple(met)


def _met_by_text(texts: Iterable[str]) -> list[Need]:
    match reach(texts):
        case Reach.ANYTHING:
            return [need for need in NEEDS if need is not OTHER_MACHINE]
        case Reach.CHILD:
            return [COMMAND, CHILD_PROCESS]
        case Reach.ITSELF:
            return [COMMAND]


# --- three-valued evaluation ----------------------------------------------------------------------------------------------


def _holds(node: Node, situation: Situation, *, forgiving: bool) -> bool | None:
    """Whether the tree is true in the situation; None where that hangs on something unknown.

    `forgiving`: a value that is nearly the known one counts as unknown, because a slip of the author's pen must be found by firing
    the rule, not taken for a need.
    """
    match node:
        case Test():
            return _test_holds(node, situation, forgiving=forgiving)
        case Formula():
            return None
        case Not(item=item):
            inner = _holds(item, situation, forgiving=forgiving)
            return None if inner is None else not inner
        case And(items=items):
            values = [_holds(item, situation, forgiving=forgiving) for item in items]
            return False if False in values else None if None in values else True
        case Or(items=items):
            values = [_holds(item, situation, forgiving=forgiving) for item in items]
            return True if True in values else None if None in values else False


@lru_cache(maxsize=4_096)
def _imagined(
    channel: str, event_id: int, settled: tuple[tuple[str, FlatValue], ...]
) -> tuple[Mapping[str, FlatValue], Mapping[str, FlatValue], View]:
    """What is known of an event of a situation, under the names of either view, and the event as matching reads it.

    Kept, because every test of every rule is asked of the same few situations, and making an ECS view is most of what an answer costs.
    """
    known = Situation(channel=channel, event_id=event_id, known=dict(settled)).fields()
    return known, made(channel, event_id, known), View(known)


def _test_holds(test: Test, situation: Situation, *, forgiving: bool) -> bool | None:
    known, in_ecs, event = _imagined(situation.channel, situation.event_id, tuple(situation.known.items()))
    fields = known
    if test.view is ViewName.ECS:
        fields = in_ecs
        if test.field is not None and not can_bear(situation.channel, situation.event_id, key_of(test.field)):
            return test.op is Op.IS_NULL
    if test.field is None or key_of(test.field) not in fields or not isinstance(test.value, str | int | float | None):
        return None
    if compile_node(test)(event):
        return True
    if forgiving and isinstance(test.value, str) and _nearly(test.value, str(fields[key_of(test.field)])):
        return None
    return False


def _nearly(wanted: str, actual: str) -> bool:
    """Whether two paths end in names that differ by a letter or two (wsmprovhots.exe)."""
    if "\\" not in actual:
        return False
    one, other = (fold(path).rpartition("\\")[2].removesuffix(".exe") for path in (wanted, actual))
    return one != other and SequenceMatcher(None, one, other, autojunk=False).ratio() >= 0.8
