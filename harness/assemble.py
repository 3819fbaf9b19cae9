"""The composition root: settings and what was asked for become adapters and one engine. Nothing is sent from here.

    with assembled(request) as run:
        for progress in run.engine.run(cancel): ...

The embedded lab is handed over as addresses, credentials and the SIEM's place; from there on nothing knows that it is one.
"""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.circumstances import of_lab, of_settings, of_targets
from harness.clock import SystemClock
from harness.core.plan import Selection, plan, with_terms
from harness.core.shard import shard_of
from harness.engine import Engine, Patience
from harness.errors import Problem, SiemError, UsageError
from harness.fields import nearest
from harness.model.intent import Auth, Channel, Encryption, Plan, Priority, Rule, Scenario, Target
from harness.model.report import Circumstance
from harness.ports import Siem, Transport
from harness.rules.cache import user_cache
from harness.rules.catalog import Catalog, distinct, load_catalog, load_rules
from harness.rules.languages import rule_sources
from harness.rules.strategy import StrategyFile, is_strategy, load_strategies
from harness.scenarios import SUFFIX, load_scenarios
from harness.scope import check_scope
from harness.settings import ElasticsearchSettings, LabAccess, Settings, SiemSettings, TargetSettings, resolve
from harness.siem.embedded.client import EmbeddedClient
from lab.process import LOOPBACK, RULE_PACK, HostAccess, LabConfig, LabPlace, LabTarget, StartingLab, ask, find, state_file, targets_of

_log = logging.getLogger("harness.assemble")

DRIVER_IS_WINDOWS = sys.platform == "win32"
if TYPE_CHECKING:
    from harness.doctor import Doctor
    from harness.siem.elastic.client import ElasticSiem
    from harness.siem.elastic.probe import Question
    from harness.siem.elastic.wire import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for on the command line, beside the settings.

    `lab`: detonate on the embedded lab; then `targets` choose among its hosts. Its SIEM is its own, else the Elasticsearch of the settings,
    `to_elasticsearch`. No `scenarios`: ./scenarios, else the starter scenarios. `shard`: which part of the plan, from 1, of how many.
    `hold`: a target waits for its verdicts before it is used again.
    """

    settings: Settings
    lab: bool
    to_elasticsearch: bool = False
    targets: tuple[str, ...] = ()
    scenarios: tuple[Path, ...] = ()
    selection: Selection = field(default_factory=Selection)
    shard: tuple[int, int] | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is ready to start."""

    plan: Plan
    rules: Mapping[str, Rule]
    engine: Engine


class Stage:
    """Where single steps are detonated and judged, one after the other, without scenario files."""

    def __init__(self, request: Request, rules: Mapping[str, Rule], places: _Places) -> None:
        self._request = request
        self._places = places
        self._priorities = _priorities(request)
        self.rules = rules
        self.siem = places.siem
        self.targets = places.targets

    def plan(self, scenario: Scenario, target: Target) -> Plan:
        """This scenario on this target; without steps where there is no way to it."""
        there = replace(self._request, targets=(target.name,))
        return _plan(there, [scenario], self._places.everyone, self.rules, self._priorities)

    def engine(self, made: Plan) -> Engine:
        """An engine for this plan."""
        return _engine(self._request, made, self.rules, self.siem, self._places.transport, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """What steps are sent to and asked of. `targets` are those that were asked for, of `everyone`."""

    siem: EmbeddedClient | ElasticSiem
    everyone: Sequence[Target]
    targets: Sequence[Target]
    transport: Transport


def planned(request: Request) -> tuple[Plan, Mapping[str, Rule]]:
    """The plan and the rules behind it: no lab is started, no name resolved, no target touched; the SIEM is asked which rules it knows.

    Raises `UsageError` and `NothingToDo`.
    """
    rules = rules_of(request)
    settings = request.settings
    place = find(state_file(settings.lab.state_file)) if request.lab else None
    if request.lab and not request.to_elasticsearch:
        known = _known_on_lab(rules, place)
    else:
        known = None
        if settings.siem is not None:
            with _opened(settings.siem, rules) as siem:
                known = _known(rules, siem)
    priorities = _priorities(request)
    scenarios = _scenarios(request, known, rules, priorities)
    hosts = place.targets if place is not None else targets_of(lab_config(settings))
    everyone = _lab_targets(hosts) if request.lab else [entry.target for entry in settings.targets]
    return _plan(request, scenarios, everyone, rules, priorities), rules


_HERE = Path("scenarios")
_STARTER = (Path(harness.__file__).parent / "starter_scenarios", Path(harness.__file__).parent.parent / "scenarios")
"""The scenarios that came with the package; in a checkout they are beside it."""


@contextmanager
def assembled(request: Request) -> Iterator[Run]:
    """A run with everything it needs; what was started for it is ended afterwards.

    Raises `UsageError`, `ScopeError`, `NothingToDo`, `LabError`, before anything is sent.
    """
    if request.lab:
        with _on_lab(request) as run:
            yield run
    else:
        with _on_targets(request) as run:
            yield run


@contextmanager
def examined(request: Request) -> Iterator[Doctor]:
    """An examination of the same places. Raises `UsageError`, `ScopeError`, `LabError`, before anything is sent."""
    # Imported here: a run needs neither.
    from harness.doctor import Doctor
    from harness.translate.es_filter import over_ecs
    from harness.translate.refusal import NotExpressible

    rules = {id: rule for id, rule in rules_of(request).items() if not rule.not_evaluated}
    with _places(request, rules) as places:
        asked = {}
        for rule in rules.values():
            try:
                asked[rule.id], _ = over_ecs(rule)
            except NotExpressible:
                continue  # of such a rule nothing is known before it runs
        yield Doctor(
            siem=places.siem,
            examine_siem=partial(places.siem.examine, asked) if not isinstance(places.siem, EmbeddedClient) else tuple,
            transport=places.transport,
            targets=places.targets,
            rules=rules,
            clock=SystemClock(),
        )


@contextmanager
def staged(request: Request) -> Iterator[Stage]:
    """The same places, for steps that no file holds. Raises `UsageError`, `ScopeError`, `LabError`, before anything is sent."""
    rules = rules_of(request)
    with _places(request, rules) as places:
        yield Stage(request, rules, places)


@contextmanager
def _places(request: Request, rules: Mapping[str, Rule]) -> Iterator[_Places]:
    settings = request.settings
    with ExitStack() as stack:
        if request.lab:
            place = stack.enter_context(_lab_place(settings))
            elastic = stack.enter_context(_opened(settings.siem, rules, settings.lab.index)) if request.to_elasticsearch else None
            siem = elastic or _own_siem(place, rules)
            if elastic is not None:
                _let_ship(place, settings)
            everyone = _lab_targets(place.targets)
            yield _Places(siem=siem, everyone=everyone, targets=_chosen(request, everyone), transport=_lab_transport(place))
        else:
            siem = stack.enter_context(_opened(settings.siem, rules))
            everyone = [entry.target for entry in settings.targets]
            targets = _chosen(request, everyone)
            yield _Places(siem=siem, everyone=everyone, targets=targets, transport=_transport(settings, targets))


@contextmanager
def _lab_place(settings: Settings) -> Iterator[LabPlace]:
    """The lab that is up, else one of its own."""
    place = find(state_file(settings.lab.state_file))
    if place is not None:
        yield place
        return
    starting = StartingLab(lab_config(settings))
    try:
        yield starting.ready()
    finally:
        starting.stop()


def lab_config(settings: Settings, *, note: Path | None = None, listen: str = LOOPBACK) -> LabConfig:
    """What the settings say of the lab. One with a `note` stays up, and is written down there.

    Raises `UsageError` where they name a host that it has not.
    """
    lab = settings.lab
    if lab.keytab is not None and not lab.keytab.is_file():
        raise UsageError(Problem(path=str(settings.file or ""), what=f"[lab] keytab {lab.keytab} is no file"))
    if lab.keytab is not None:
        from lab.winrm.auth import no_kerberos  # with all of WinRM's libraries: not for a lab without Kerberos

        if why := no_kerberos():
            raise UsageError(Problem(path=str(settings.file or ""), what=f"[lab] keytab: {why}"))
    config = LabConfig(
        user=lab.user,
        password=_revealed(lab.account_password),
        access=_host_access(lab.access),
        own_access={name: _host_access(access) for name, access in lab.own_access.items()},
        keytab="" if lab.keytab is None else str(lab.keytab.absolute()),
        ingest_delay=lab.ingest_delay.total_seconds(),
        rule_interval=lab.rule_interval.total_seconds(),
        look_back=lab.look_back.total_seconds(),
        schedule_running=lab.schedule_running,
        disabled=lab.disabled,
        exceptions=tuple((each.rule, each.name, dict(each.when)) for each in lab.exceptions),
        off=lab.off,
        hosts=lab.hosts,
        max_shells=lab.max_shells,
        listen=listen,
        keep=note is not None,
        note=str(note.absolute()) if note is not None else "",
    )
    hosts = [target.name for target in targets_of(config)]
    for host in {one.rpartition("/")[0] for one in lab.off} - {"", *hosts}:
        what = f"lab.off names {host!r}, which is no host of the lab"
        raise UsageError(Problem(path=str(settings.file or "harness.toml"), what=what, fix=f"one of {', '.join(hosts)}"))
    return config


def _host_access(access: LabAccess) -> HostAccess:
    return HostAccess(
        schemes=access.schemes,
        allow_unencrypted=access.allow_unencrypted,
        tls=access.tls,
        auth=access.auth.value,
    )


def scenario_paths(asked: Sequence[Path]) -> Sequence[Path]:
    """The files asked for, else ./scenarios, else the starter scenarios that came with the package."""
    if asked:
        return asked
    return [next((path for path in (_HERE, *_STARTER) if path.is_dir()), _HERE)]


def known_scenarios(asked: Sequence[Path]) -> Mapping[str, Scenario]:
    """Every scenario that a strategy may name, by id: the starter scenarios, those of ./scenarios, those asked for; later ones take the
    place of earlier ones with their id. Raises `UsageError`."""
    starter = next((path for path in _STARTER if path.is_dir()), _HERE)
    # A directory of that name need not be about us.
    own = [_HERE] if _HERE.resolve() != starter.resolve() and any(_HERE.rglob(f"*{SUFFIX}")) else []
    groups = [[starter], own, list(asked)]
    return {scenario.id: scenario for paths in groups if paths for scenario in load_scenarios(paths, None)}


@contextmanager
def _on_lab(request: Request) -> Iterator[Run]:
    """On the lab that is up, else on one of this run's own; it starts while the files are read."""
    settings = request.settings
    place = find(state_file(settings.lab.state_file))
    with ExitStack() as stack:
        starting = StartingLab(lab_config(settings)) if place is None else None
        if starting is not None:
            stack.callback(starting.stop)
        rules = rules_of(request)
        elastic = stack.enter_context(_opened(settings.siem, rules, settings.lab.index)) if request.to_elasticsearch else None
        priorities = _priorities(request)
        known = _known(rules, elastic) if elastic is not None else _known_on_lab(rules, place)
        scenarios = _scenarios(request, known, rules, priorities)
        offline = targets_of(lab_config(settings)) if place is None else place.targets
        everyone = _lab_targets(offline)
        _plan(request, scenarios, everyone, rules, priorities)  # what is wrong is said before waiting for the lab
        if starting is not None:
            place = starting.ready()
        assert place is not None
        siem = elastic or _own_siem(place, rules)
        if elastic is not None:
            _let_ship(place, settings)
        made = _plan(request, scenarios, _lab_targets(place.targets), rules, priorities)
        held = tuple(of_lab(settings, lab_config(settings))) if starting is not None else ()
        yield Run(plan=made, rules=rules, engine=_engine(request, made, rules, siem, _lab_transport(place), held))


def _own_siem(place: LabPlace, rules: Mapping[str, Rule]) -> EmbeddedClient:
    """The lab's embedded SIEM, which runs these rules besides its own from now on."""
    siem = EmbeddedClient(Path(place.siem))
    siem.deploy([rule for rule in rules.values() if RULE_PACK not in Path(rule.source).parents and not rule.not_evaluated])
    return siem


def _let_ship(place: LabPlace, settings: Settings) -> None:
    """Make the lab ship its events to the Elasticsearch of the settings. Raises `LabError`."""
    assert isinstance(settings.siem, ElasticsearchSettings)
    ask(place, "ship", to=asdict(_connection(settings.siem)), index=settings.lab.index)


@contextmanager
def _on_targets(request: Request) -> Iterator[Run]:
    settings = request.settings
    rules = rules_of(request)
    with _opened(settings.siem, rules) as siem:
        priorities = _priorities(request)
        scenarios = _scenarios(request, _known(rules, siem), rules, priorities)
        made = _plan(request, scenarios, [entry.target for entry in settings.targets], rules, priorities)
        touched = _touched(made)
        engine = _engine(request, made, rules, siem, _transport(settings, touched), tuple(of_targets(touched)))
        yield Run(plan=made, rules=rules, engine=engine)


@contextmanager
def _opened(
    settings: SiemSettings | ElasticsearchSettings | None, rules: Mapping[str, Rule], own_index: str = ""
) -> Iterator[EmbeddedClient | ElasticSiem]:
    """The SIEM that the settings name; its connections are given back afterwards. Raises `UsageError`; nothing is sent yet.

    `own_index` is that of a lab that ships to it.
    """
    if settings is None:
        raise UsageError(Problem(path="harness.toml", what="there is no [siem]", fix="add one, or run with --lab"))
    if isinstance(settings, SiemSettings):
        yield EmbeddedClient(settings.path)
        return
    # Imported here: Elasticsearch's client takes longer to load than most commands take.
    from harness.siem.elastic import elastalert, probe, security, watcher
    from harness.siem.elastic.client import ElasticSiem
    from harness.siem.elastic.source import AlertSource
    from harness.siem.elastic.wire import Wire

    titles = Counter(rule.title for rule in rules.values())
    by_title = {rule.title: rule.id for rule in rules.values() if titles[rule.title] == 1}
    made: Mapping[str, Callable[[], AlertSource]] = {
        elastalert.NAME: lambda: elastalert.ElastAlert(settings.writeback, settings.rule_interval),
        security.NAME: lambda: security.ElasticSecurity(settings.space, by_title, settings.rule_interval),
        watcher.NAME: lambda: watcher.Watcher(settings.rule_interval),
    }
    indices = list(dict.fromkeys([*settings.events, *filter(None, [own_index])]))
    wire = Wire(_connection(settings))
    try:
        yield ElasticSiem(
            wire,
            events=indices,
            sources=[made[name]() for name in dict.fromkeys(settings.alerts) if name in made],
            probe=probe.QueryProbe(",".join(indices), partial(_question, rules)) if probe.NAME in settings.alerts else None,
            severities={rule.id: rule.severity for rule in rules.values()},
            ingest_lag=settings.ingest_lag,
            rule_interval=settings.rule_interval,
            own_index=own_index,
        )
    finally:
        wire.close()


def _question(rules: Mapping[str, Rule], id: str) -> Question:
    """The rule's own query, as a probe puts it to Elasticsearch."""
    from harness.siem.elastic.probe import Question
    from harness.translate.es_filter import filters
    from harness.translate.refusal import NotExpressible

    if id not in rules:
        return Question(refusal="its text is not known here: name its file with --rules")
    try:
        return Question(filters=filters(rules[id]))
    except NotExpressible as error:
        return Question(refusal=str(error))


def _connection(settings: ElasticsearchSettings) -> Connection:
    """How the settings say that Elasticsearch is reached, secrets included. Raises `UsageError`."""
    from harness.siem.elastic.wire import Connection

    return Connection(
        urls=settings.urls,
        cloud_id=settings.cloud_id,
        user=settings.user,
        password=_revealed(settings.password),
        api_key=_revealed(settings.api_key),
        bearer=_revealed(settings.bearer),
        ca_file=str(settings.ca_file.absolute()) if settings.ca_file is not None else "",
        fingerprint=settings.fingerprint,
        verify=settings.verify,
        proxy=settings.proxy,
        timeout=settings.timeout.total_seconds(),
    )


def _revealed(reference: str | None) -> str:
    return resolve(reference).reveal() if reference is not None else ""


def _engine(
    request: Request,
    made: Plan,
    rules: Mapping[str, Rule],
    siem: Siem,
    transport: Transport,
    held: Sequence[Circumstance],
) -> Engine:
    """`held`: what holds of where it is run."""
    pace, clock = request.settings.run, SystemClock()
    return Engine(
        run_id=f"{clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        plan=made,
        rules=rules,
        transport=transport,
        siem=siem,
        clock=clock,
        patience=Patience(
            poll=pace.poll_interval.total_seconds(),
            siem=pace.siem_timeout.total_seconds(),
            connect=pace.connect_timeout.total_seconds(),
            grace=pace.grace,
        ),
        circumstances=(*of_settings(request.settings, asks_siem=not request.lab or request.to_elasticsearch), *held),
        hold=request.hold,
    )


def replay_rules(paths: Sequence[Path]) -> Catalog:
    """The rules of a replay, an id once: those of these paths, else the lab's pack.

    Raises `UsageError` where a file that was named itself cannot be evaluated, or none can.
    """
    catalog = load_catalog(paths or [RULE_PACK], rule_sources(), user_cache())
    rules, repeated = distinct(catalog.rules)
    unread = {rule: Problem(path=rule.source, what=f"{rule.title}: {rule.not_evaluated}") for rule in rules if rule.not_evaluated}
    refused = (*catalog.refused, *unread.values())
    evaluated = tuple(rule for rule in rules if not rule.not_evaluated)
    named = set(map(str, paths))
    # What a correlation counts is asked, though not for itself.
    unasked = (*catalog.refused, *(problem for rule, problem in unread.items() if not rule.counted_by))
    wrong = [problem for problem in unasked if problem.path in named]
    if wrong or not evaluated:
        raise UsageError(*(wrong or refused))
    return replace(catalog, rules=evaluated, refused=(*refused, *repeated))


def rules_of(request: Request) -> Mapping[str, Rule]:
    """The rules asked for by id. On the lab its own pack is always there, and a rule of the same id takes the place of the pack's."""
    asked = [path for path in request.settings.rules if not is_strategy(path)]
    sources, kept = rule_sources(), user_cache()
    rules = {rule.id: rule for rule in load_rules([RULE_PACK], sources, kept)} if request.lab or not asked else {}
    return rules | {rule.id: rule for rule in load_rules(asked, sources, kept)} if asked else rules


def _scenarios(
    request: Request, known: frozenset[str] | None, rules: Mapping[str, Rule], priorities: Mapping[str, Priority]
) -> Sequence[Scenario]:
    reasons = {rule.id: rule.not_evaluated for rule in rules.values() if rule.not_evaluated}
    return load_scenarios(scenario_paths(request.scenarios), known, reasons, frozenset(priorities))


def _priorities(request: Request) -> Mapping[str, Priority]:
    """What the detection strategies beside the rules say of priorities, by rule id. The pack's are always known; one that was asked for
    takes the place of the pack's on the same rule."""
    files: list[StrategyFile] = []
    for paths in ([RULE_PACK], request.settings.rules):
        found, problems = load_strategies(paths)
        if problems:
            raise UsageError(*problems)
        files.extend(found)
    return {file.strategy.rule: file.strategy.priority for file in files}


def _known(rules: Mapping[str, Rule], siem: Siem) -> frozenset[str] | None:
    """The ids of the rules that were loaded or that the SIEM has; None where it cannot answer: the run itself will say so."""
    try:
        return frozenset(rules) | siem.known_rules()
    except SiemError:
        return None


def _known_on_lab(rules: Mapping[str, Rule], place: LabPlace | None) -> frozenset[str] | None:
    """The same for the lab: one that is not up yet will have the rules that were loaded."""
    return _known(rules, EmbeddedClient(Path(place.siem))) if place is not None else frozenset(rules)


def _plan(
    request: Request,
    scenarios: Sequence[Scenario],
    everyone: Sequence[Target],
    rules: Mapping[str, Rule],
    priorities: Mapping[str, Priority],
) -> Plan:
    """The plan on the targets that were asked for; jump hosts may be any that there are. Raises `UsageError`, `NothingToDo`."""
    targets = _chosen(request, everyone) if request.lab else _real_targets(request)
    selected = plan(
        scenarios, targets, rules, request.selection, driver_is_windows=DRIVER_IS_WINDOWS, priorities=priorities, known=everyone
    )
    whole = with_terms(selected, request.settings.terms)
    return whole if request.shard is None else shard_of(whole, *request.shard)


def _touched(made: Plan) -> list[Target]:
    """Every target that the plan connects to or has connected to: jump hosts too."""
    found: dict[str, Target] = {}
    for planned in made.steps:
        for target in filter(None, (planned.target.via, planned.target)):
            found.setdefault(target.name, target)
    return list(found.values())


def _chosen(request: Request, targets: Sequence[Target]) -> list[Target]:
    """The targets asked for by name, in the order asked; all where none is."""
    by_name = {target.name: target for target in targets}
    unknown = [name for name in request.targets if name not in by_name]
    if unknown:
        raise UsageError(*(Problem(path="", what=f"there is no target {name!r}", fix=_hint(name, by_name)) for name in unknown))
    return [by_name[name] for name in dict.fromkeys(request.targets)] or list(targets)


def _hint(name: str, known: Mapping[str, object]) -> str:
    if name in (host.name for host in targets_of(LabConfig())):
        return "it is a host of the lab: add --lab"
    return nearest(name, known) or (f"known: {', '.join(sorted(known))}" if known else "harness.toml names none")


def _real_targets(request: Request) -> list[Target]:
    if not request.targets:
        raise UsageError(Problem(path="", what="where to?", fix="--lab for the embedded lab, or --target NAME of harness.toml"))
    return _chosen(request, [entry.target for entry in request.settings.targets])


def _lab_targets(hosts: Sequence[LabTarget]) -> list[Target]:
    return [
        Target(
            name=host.name,
            # CredSSP asks Kerberos for the host by the name that it is given; it is connected to by its address in any case.
            host=host.computer.lower() if Auth(host.auth) is Auth.CREDSSP and "@" in host.user else host.host,
            port=host.port,
            tls=host.tls,
            auth=Auth(host.auth),
            user=host.user,
            computer=host.computer,
            seen_from=host.seen_from,
        )
        for host in hosts
    ]


def _lab_transport(place: LabPlace) -> Transport:
    from harness.transports.credential import Credential  # WinRM's libraries take longer to import than all of this: not for a replay
    from harness.transports.winrm import WinrmTransport

    hosts = {host.name: host for host in place.targets}
    return WinrmTransport(
        credentials={
            name: Credential(user=host.user, password="" if Auth(host.auth) is Auth.CERTIFICATE else place.password)
            for name, host in hosts.items()
        },
        channels={
            name: Channel(
                ca_file=place.ca_file,
                certificate=place.certificate,
                certificate_key=place.certificate_key,
                encryption=Encryption.NEVER if host.unencrypted else Encryption.AUTO,
                spn=f"HTTP/{host.computer.lower()}" if Auth(host.auth) is Auth.KERBEROS else "",
            )
            for name, host in hosts.items()
        },
        addresses={name: host.host for name, host in hosts.items()},
        clock=SystemClock(),
    )


def _transport(settings: Settings, targets: Sequence[Target]) -> Transport:
    """To these targets, once it is known that all may be touched. Raises `ScopeError`, and `UsageError` for secrets that are not there."""
    from harness.transports.credential import Credential
    from harness.transports.winrm import WinrmTransport

    wanted = {target.name for target in targets}
    entries = [entry for entry in settings.targets if entry.target.name in wanted]
    if wrong := [problem for entry in entries for problem in _unreadable(entry, settings)]:
        raise UsageError(*wrong)
    for entry in entries:
        if entry.target.tls and not entry.channel.verify:
            _log.warning("target %s: its certificate is not verified (verify = false): whoever answers is trusted", entry.target.name)
        if entry.target.auth is Auth.BASIC and not entry.target.tls:
            _log.warning("target %s: its password can be read on the way (basic without tls)", entry.target.name)
    return WinrmTransport(
        credentials={
            entry.target.name: Credential(
                user=entry.target.user, password=_revealed(entry.password), key_password=_revealed(entry.key_password)
            )
            for entry in entries
        },
        channels={entry.target.name: entry.channel for entry in entries},
        addresses=_addresses(settings, targets),
        clock=SystemClock(),
    )


def _unreadable(entry: TargetSettings, settings: Settings) -> Iterator[Problem]:
    """What is wrong with the files that a target's TLS needs: nobody has to wait for a connection to learn it."""
    channel, context = entry.channel, ssl.create_default_context()
    place, name = str(settings.file or ""), entry.target.name
    if channel.ca_file:
        try:
            context.load_verify_locations(channel.ca_file)
        except OSError as error:
            yield Problem(path=place, what=f"target {name!r}: ca_file {channel.ca_file} holds no certificates: {error.strerror or error}")
    if channel.certificate:
        try:
            # A text in any case: without one OpenSSL would ask whoever sits at the terminal.
            context.load_cert_chain(channel.certificate, channel.certificate_key, _revealed(entry.key_password))
        except OSError as error:
            what = f"target {name!r}: {channel.certificate} and {channel.certificate_key} are no certificate with its key"
            yield Problem(
                path=place, what=f"{what}: {error.strerror or error}", fix="both are PEM files; is certificate_key_password right?"
            )


def _addresses(settings: Settings, targets: Sequence[Target]) -> Mapping[str, str]:
    """Where each target is, once it is known that all may be touched. Raises `ScopeError`."""
    vetted = check_scope(targets, settings.scope, date.today(), _resolve)  # noqa: DTZ011
    return {name: found[0] for name, found in vetted.items() if found}


def _resolve(host: str) -> Sequence[str]:
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)))
