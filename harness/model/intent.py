"""Intent: what people wrote down before anything happened. Rules, scenarios, targets, and the plan made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from typing_extensions import TypeAliasType

from harness.model.tree import Node, Pattern

# A named alias, because a bare recursive union cannot be read at run time: the report's JSON schema is made from these classes.
Argument = TypeAliasType("Argument", "str | int | float | bool | list[Argument] | dict[str, Argument] | None")


class Severity(StrEnum):
    """How grave a rule says its alerts are, in Sigma's five levels, mildest first."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticMetadata:
    """What a rule of Elastic's says besides its query: where it looks, how often, how far back, and what it counts for.

    `kind` is Elastic's rule type ("eql", "threshold"). `repaired` says what was mended before the text could be read; empty where nothing
    was. `required_fields` are names of ECS fields. `building_block`: its alerts feed other rules and are not shown by themselves.
    `suppressed_by` are fields: of alerts with the same values one is kept, in each `suppressed_for` or, where that is None, in each run of
    the rule. `exceptions` are names of lists of what raises no alert: they are kept in the SIEM, and the rule is evaluated without them.
    """

    kind: str
    index: tuple[str, ...]
    look_back: timedelta
    interval: timedelta
    risk_score: int
    tactics: tuple[str, ...]
    required_fields: tuple[str, ...]
    building_block: bool
    repaired: str
    suppressed_by: tuple[str, ...] = ()
    suppressed_for: timedelta | None = None
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A detection rule in whatever language, with its logic as one predicate tree.

    `definition` is the rule's own text as it was loaded; `source` is the path it came from, `line` the line of it that bears its id or,
    without one, its first; `techniques` are ATT&CK ids.
    Where a match takes several events, or results are cut by pipes, `pattern` says how, and `logic` is what any one of them satisfies.
    `not_evaluated` says why the rule is known by its metadata alone; its `logic` is then empty and matches nothing.
    `id_made`: its author gave it none, and it is made of its text.
    `counted_by` names the correlation that asks it, where it is not evaluated because its matches are counted there and alert no one.
    """

    id: str
    title: str
    source: str
    language: str
    severity: Severity
    techniques: tuple[str, ...]
    logic: Node
    definition: str
    pattern: Pattern | None = None
    not_evaluated: str = ""
    counted_by: str = ""
    id_made: bool = False
    line: int = 1
    elastic: ElasticMetadata | None = None

    @property
    def written_as(self) -> str:
        """The format of `definition`: "elastic" for Elastic's TOML, whatever the query in it is; else the language itself."""
        return self.language if self.elastic is None else "elastic"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityLevel:
    """A priority, the condition on one event of an alert that gives it, and why. `text` is the condition as its author wrote it."""

    level: Severity
    when: Node
    text: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """How soon people should look at a rule's alerts: the gravest level whose condition one of the alert's events meets, else `default`."""

    default: Severity
    levels: tuple[PriorityLevel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterPSSession:
    """Lines typed into an interactive session, one after the other, in one runspace."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeCommand:
    """One remote call of a script; arguments travel as objects, bound by name."""

    script: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRS:
    """One command line in a Windows Remote Shell: winrshost.exe has cmd.exe read it.

    `environment` and `directory` are the shell's, "" the user's own; `stdin` is all of the command's input. `code_page` is that of the
    shell's streams, 65001 being UTF-8.
    """

    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    stdin: str = ""
    code_page: int = 65001


class Remoting(StrEnum):
    """The two kinds of remote shell that WinRM has: PowerShell's, and the one of command lines."""

    PSRP = "psrp"
    WINRS = "winrs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """The null action: a session is opened and closed, nothing is run in it."""

    transport: Remoting = Remoting.PSRP


Action = EnterPSSession | InvokeCommand | WinRS | Connect


def remoting(action: Action) -> Remoting:
    """The kind of remote shell that the action is run in."""
    match action:
        case WinRS():
            return Remoting.WINRS
        case Connect(transport=transport):
            return transport
        case EnterPSSession() | InvokeCommand():
            return Remoting.PSRP


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A gap that does not fail a run through the day `until`, and why."""

    until: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """How soon a rule should detect: each time, or at the 95th percentile over the last runs."""

    within: timedelta
    p95: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a rule should do about a step.

    `fires` false: it must stay quiet. `known_gap`: why it is expected to miss, for now. `within` runs from the moment the
    step started; None leaves the deadline to be computed from ingest lag and the rule's interval. `severity` is the alert's own;
    `priority` is what the rule's detection strategy makes of the alert's events. `quarantine`: until when a gap here does not count;
    `objective`: how soon the rule should detect, beside what it must.
    """

    rule: str
    within: timedelta | None = None
    severity: Severity | None = None
    priority: Severity | None = None
    fires: bool = True
    known_gap: str | None = None
    quarantine: Quarantine | None = None
    objective: Objective | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which expectations are meant: those with all that is told. None tells nothing."""

    rule: str | None = None
    scenario: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is said of expectations outside of their scenarios. What a scenario says itself of one goes before it."""

    quarantines: tuple[tuple[About, Quarantine], ...] = ()
    objectives: Mapping[str, Objective] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action on a target and what is expected of it.

    The step succeeded where its exit code is among `exit_codes`, no terminating error came back and, where `output` is
    given, that regular expression is found in what it printed. `timeout` bounds the action on the target. `via` names the jump host that
    the action goes by.
    """

    name: str
    action: Action
    technique: str | None = None
    cleanup: Action | None = None
    timeout: timedelta = timedelta(seconds=60)
    exit_codes: tuple[int, ...] = (0,)
    output: str | None = None
    via: str | None = None
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One file's story: steps in order on one target, cleaned up in reverse order at its end. `source` is the file's path."""

    id: str
    title: str
    source: str
    steps: tuple[Step, ...]
    technique: str | None = None
    tags: tuple[str, ...] = ()


class Auth(StrEnum):
    """How a transport authenticates, in WinRM's own names."""

    BASIC = "basic"
    NTLM = "ntlm"
    NEGOTIATE = "negotiate"
    KERBEROS = "kerberos"
    CREDSSP = "credssp"
    CERTIFICATE = "certificate"


class Encryption(StrEnum):
    """Whether messages are encrypted besides what TLS does [MS-WSMV 2.2.9.1]: `AUTO` where there is no TLS."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How a target is spoken to besides where it is and as whom: what is trusted, what is encrypted, what Kerberos calls it.

    `ca_file` (PEM) is trusted in place of the system's authorities; `verify` False trusts whoever answers. `certificate` and
    `certificate_key` (PEM files) prove who the client is. `spn` (SERVICE/HOST) is asked for in place of the one made of the host's name;
    `delegate` hands a forwardable ticket to the target. `proxy` is an HTTP proxy's URL. `connect_timeout` bounds one TCP connection and
    its TLS, `operation_timeout` is what the target may take to answer one request; None leaves both to the transport. `locale` is the
    language of messages [RFC 5646].
    """

    ca_file: str = ""
    verify: bool = True
    certificate: str = ""
    certificate_key: str = ""
    encryption: Encryption = Encryption.AUTO
    spn: str = ""
    delegate: bool = False
    proxy: str = ""
    connect_timeout: timedelta | None = None
    operation_timeout: timedelta | None = None
    locale: str = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A machine that the harness may detonate on. It bears no secret: credentials are kept by the transport.

    `host` and `port` are where the driver connects to; `computer` is the name under which the machine logs itself, as
    telemetry shows it; `seen_from` is the driver's own address as the target logs it (None: the address of the driver's
    end of the connection). `user` as it is sent, with its domain where it has one. `via` is the jump host whose session opens the one
    here; None where the driver does.
    """

    name: str
    host: str
    port: int = 5985
    tls: bool = False
    auth: Auth = Auth.NEGOTIATE
    user: str = ""
    computer: str = ""
    seen_from: str | None = None
    via: Target | None = None

    @property
    def shown(self) -> str:
        """Its name and the way there, for people."""
        return self.name if self.via is None else f"{self.name} by way of {self.via.name}"


def planned_id(scenario: str, number: int, target: str) -> str:
    """What a scenario's step is called on a target; steps are counted from 1."""
    return f"{scenario}/{number}@{target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step of a scenario on a target: the unit of detonation.

    `id` is `scenario/step number@target`, and ends in `/cleanup` where `cleanup` is set: then it is the step's cleanup that
    is detonated, so that its own telemetry is nobody else's.
    """

    id: str
    scenario: str
    step: Step
    target: Target
    cleanup: bool = False

    @property
    def action(self) -> Action:
        """What is sent: the step's action, or its cleanup."""
        if self.cleanup and self.step.cleanup is not None:
            return self.step.cleanup
        return self.step.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexercisable:
    """Why an expectation's rule cannot fire here, and what would have to be different.

    `need` is a short word of the need that is not met ("child process", "source side", "kind of event"); `remedy` is the
    smallest benign line or change that would exercise it.
    """

    need: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Which part of a plan is run: `number`, from 1, of `count`. `plan` is the same for all parts of one plan, and for no other's."""

    number: int
    count: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would run where, and what cannot be exercised: made before anything is sent.

    `steps` in the order of each target's run. `unexercisable` by (planned step id, rule id). `rules`: the rules that the run is about;
    None where it is about all. `priorities` by rule id, of the rules that have a detection strategy. `shard`: the part of a plan that this
    is; None where it is whole.
    """

    steps: tuple[PlannedStep, ...]
    unexercisable: Mapping[tuple[str, str], Unexercisable]
    rules: frozenset[str] | None = None
    priorities: Mapping[str, Priority] = field(default_factory=dict)
    shard: Shard | None = None

    def about(self, rule: str) -> bool:
        """Whether the run is about this rule."""
        return self.rules is None or rule in self.rules
