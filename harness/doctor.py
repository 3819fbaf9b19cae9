"""Before a run: is everything there that a run depends on, and what mends it where it is not.

The canary is a session of the null action on each target: that it opens shows that the target can be driven, its clock is read in it, and
the time until one of its own events is found is the ingest lag of the whole way. In a session of its own the target is asked what it logs
and what ships it: that reads, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event

from harness.core.keys import Key, engine_key, keys_of, process_key, socket_key
from harness.core.logging_settings import findings, needed, question
from harness.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    Refused,
    SiemDenied,
    SiemError,
    SiemUnavailable,
    StepTimeout,
    TransportError,
    Untrusted,
)
from harness.model.facts import Identity, SiemStatus, Watch
from harness.model.health import Finding, Health
from harness.model.intent import Connect, Rule, Target
from harness.ports import Clock, Siem, Transport

CANARY_SECONDS = 60.0
"""How long a canary's events are waited for."""

_POLL = 0.25
_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_STEP_SECONDS = 60.0
_CLOCKS_APART = timedelta(seconds=5)
_CLOCKS_WRONG = timedelta(minutes=5)
_MOST_NAMED = 20

_MENDS: Mapping[type[TransportError], str] = {
    Untrusted: "name who vouches for it: ca_file",
    ConnectFailed: "is WinRM running there (Enable-PSRemoting), and are host, port, tls and the firewall right?",
    AuthenticationFailed: "are user, password and auth of this [[target]] right?",
    Refused: "may the account use the remote endpoint (Remote Management Users), and is its quota of shells free?",
    ConnectionLost: "is there a proxy or firewall that cuts connections?",
    StepTimeout: "is the machine overloaded?",
}


class Doctor:
    """One examination. `rules` are those whose state the SIEM is asked for; `examine_siem` finds what is special to this kind of SIEM."""

    def __init__(
        self,
        *,
        siem: Siem,
        examine_siem: Callable[[], Iterable[Finding]],
        transport: Transport,
        targets: Sequence[Target],
        rules: Mapping[str, Rule],
        clock: Clock,
        canary_seconds: float = CANARY_SECONDS,
    ) -> None:
        self._siem = siem
        self._examine_siem = examine_siem
        self._transport = transport
        self._targets = targets
        self._rules = rules
        self._clock = clock
        self._canary_seconds = canary_seconds

    def examine(self, cancel: Event) -> Iterator[Finding]:
        """Everything in turn. A SIEM that cannot be asked keeps no target from being looked at."""
        found, status, offset = self._siem_itself(cancel)
        yield from found
        if status is not None:
            yield Finding(about="SIEM", health=Health.OK, what=f"{status.name} answers")
            yield _clock("the SIEM's clock", offset)
            yield from self._engine(status)
        for target in self._targets:
            if cancel.is_set():
                return
            yield from self._target(target, status, offset, cancel)

    def _siem_itself(self, cancel: Event) -> tuple[Sequence[Finding], SiemStatus | None, timedelta]:
        """What is special to the SIEM, what it says of itself, and its clock minus ours; asked again where it is busy for a moment."""
        for last in (False, False, True):
            found: list[Finding] = []
            try:
                found.extend(self._examine_siem())
                before = self._clock.now()
                status = self._siem.check(frozenset(self._rules))
                return found, status, status.now - (before + (self._clock.now() - before) / 2)
            except SiemError as error:
                if last or cancel.is_set() or not isinstance(error, SiemUnavailable):
                    found.append(Finding(about="SIEM", health=Health.BROKEN, what=str(error), fix=_siem_mend(error)))
                    break
                self._clock.wait(max(_PAUSE, min(error.retry_after, _LONGEST_PAUSE)), cancel)
        return found, None, timedelta(0)

    def _engine(self, status: SiemStatus) -> Iterator[Finding]:
        probed = [rule for rule, state in status.rules.items() if state.probed and not state.deployed]
        if status.schedule_running:
            yield Finding(about="rule engine", health=Health.OK, what="it runs rules")
        else:
            fix = "start it: without it nothing can be detected, nor proven missed"
            health = Health.WARNING if probed else Health.BROKEN
            yield Finding(about="rule engine", health=health, what="no rule has run lately", fix=fix)
        deployed = any(state.deployed for state in status.rules.values())
        absent = [rule for rule, state in status.rules.items() if not state.deployed and not state.probed]
        disabled = [rule for rule, state in status.rules.items() if state.deployed and not state.enabled]
        deploy = "deploy it: harness rules translate --to elastalert --out DIR writes files for ElastAlert2"
        for rules, health, what, fix in (
            (absent, Health.WARNING if deployed or probed else Health.BROKEN, "it is not deployed: inconclusive in a run", deploy),
            (probed, Health.WARNING, "nothing runs it: a run asks its query itself (a probe), which is no detection", deploy),
            (disabled, Health.BROKEN, "it is deployed and does not run", "enable it in the detection engine"),
        ):
            for rule in sorted(rules)[:_MOST_NAMED]:
                title = f"{rule} {self._rules[rule].title}"
                yield Finding(about=f"rule {title}", health=health, what=what, fix=fix)
            if len(rules) > _MOST_NAMED:
                yield Finding(about=f"{len(rules) - _MOST_NAMED} more rules", health=health, what=what, fix=fix)
        fine = len(status.rules) - len(absent) - len(disabled) - len(probed)
        if fine:
            yield Finding(about="rules", health=Health.OK, what=f"{fine} of {len(status.rules)} are deployed and enabled")

    def _target(self, target: Target, status: SiemStatus | None, siem_offset: timedelta, cancel: Event) -> Iterator[Finding]:
        about = f"target {target.name}"
        started_at = self._clock.now()
        try:
            session = self._transport.open(target, Connect())
            try:
                session.run(_STEP_SECONDS, cancel)
                offset = session.identify().clock_offset
            finally:
                session.close()
        except TransportError as error:
            yield Finding(about=about, health=Health.BROKEN, what=str(error), fix=_MENDS.get(type(error), "is that WinRM?"))
            return
        yield Finding(about=about, health=Health.OK, what="a session opens")
        yield _clock(f"{about}'s clock", offset)
        yield from self._logging(target, cancel)
        if status is None:
            yield Finding(about=f"{about}'s events", health=Health.UNKNOWN, what="the SIEM cannot be asked", fix="mend the SIEM first")
            return
        yield self._canary(target, session.identity, started_at, offset, status, siem_offset, cancel)

    def _logging(self, target: Target, cancel: Event) -> Iterator[Finding]:
        """What the target logs, of what the rules need, and whether an agent ships it: asked in a session of its own."""
        about = f"target {target.name}"
        try:
            session = self._transport.open(target, question(needed(self._rules.values())))
            try:
                answer = session.run(_STEP_SECONDS, cancel)
            finally:
                session.close()
        except TransportError as error:
            fix = "may the account run commands there?"
            yield Finding(about=f"{about}'s logging", health=Health.UNKNOWN, what=str(error), fix=fix)
            return
        yield from findings(about, self._rules, answer.output)

    def _canary(
        self,
        target: Target,
        identity: Identity,
        started_at: datetime,
        offset: timedelta,
        status: SiemStatus,
        siem_offset: timedelta,
        cancel: Event,
    ) -> Finding:
        about = f"target {target.name}'s events"
        own = _own_keys(identity)
        host = target.computer.partition(".")[0].lower()
        watch = Watch(host=host, since=started_at + offset - timedelta(seconds=1), rules=frozenset())
        give_up = self._clock.monotonic() + self._canary_seconds
        cursor, others = "", 0
        while self._clock.monotonic() < give_up and not cancel.is_set():
            try:
                facts = self._siem.sweep([watch], cursor)
            except SiemUnavailable:  # it is asked again, for as long as a canary is waited for
                self._clock.wait(_POLL, cancel)
                continue
            except SiemError as error:
                return Finding(about=about, health=Health.UNKNOWN, what=str(error), fix=_siem_mend(error))
            cursor = facts.cursor
            bearing = [seen for seen in facts.observed if keys_of(seen.event).claims & own]
            others += len(facts.observed) - len(bearing)
            if bearing:
                # Each by its own clock; what lies between them is taken out.
                lag = min((seen.searchable_at - siem_offset) - (seen.event.time - offset) for seen in bearing)
                return _lag(about, lag, status.ingest_lag)
            self._clock.wait(_POLL, cancel)
        what = f"none of the session's events was found in {self._canary_seconds:g} s"
        if others:
            fix = "are sessions logged (PowerShell and Security logs), and is this [[target]]'s seen_from the address that it sees us from?"
            return Finding(about=about, health=Health.BROKEN, what=f"{what}, {others} others of the host were", fix=fix)
        fix = f"does a shipper run on {target.name}, do its events go where siem.events says, and is {host} the name that they bear?"
        return Finding(about=about, health=Health.BROKEN, what=what, fix=fix)


def _own_keys(identity: Identity) -> frozenset[Key]:
    keys = {socket_key(socket.ip, socket.port) for socket in identity.sockets}
    keys |= {process_key(identity.process_id)} if identity.process_id is not None else set()
    return frozenset(keys | {engine_key(guid) for guid in (identity.host_id, identity.runspace_id) if guid is not None})


def _lag(about: str, lag: timedelta, promised: timedelta) -> Finding:
    seconds = max(0.0, lag.total_seconds())
    what = f"the first was found {seconds:.1f} s after it was logged"
    if lag > promised:
        fix = f"set siem.ingest_lag to more than that: it is {promised.total_seconds():g} s, and misses would be judged too soon"
        return Finding(about=about, health=Health.WARNING, what=what, fix=fix, seconds=seconds)
    return Finding(about=about, health=Health.OK, what=what, seconds=seconds)


def _clock(about: str, offset: timedelta) -> Finding:
    seconds = offset.total_seconds()
    what = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} ours"
    if abs(offset) <= _CLOCKS_APART:
        return Finding(about=about, health=Health.OK, what=what, seconds=seconds)
    health = Health.WARNING if abs(offset) <= _CLOCKS_WRONG else Health.BROKEN
    fix = "set the clocks by NTP: a run takes the difference into account, rules that look back a few minutes do not"
    return Finding(about=about, health=health, what=what, fix=fix, seconds=seconds)


def _siem_mend(error: SiemError) -> str:
    if isinstance(error, SiemDenied):
        return "are the credentials of [siem] right, and may their user read its indices?"
    if isinstance(error, SiemUnavailable):
        return "is it running, and are url, proxy and the firewall right?"
    return "mend what it says in [siem]"
