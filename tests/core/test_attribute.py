"""Whose event is it, whose alert? Two sessions at once on one host are the rule here, not the exception."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.attribute import Attribution, HostAttribution
from harness.model.facts import Detonation, Event, FlatValue
from harness.model.intent import WinRS
from harness.model.tree import And, Op, Pattern, PatternKind, Stage, Test
from harness.model.verdicts import Basis
from tests.builders import FOOTPRINT, SECURITY, SYSMON, RemoteSession, alert, event, observed, planned

ONE = RemoteSession(tag="one", port=50001, pid=4000, logon=0xA001)
TWO = RemoteSession(tag="two", port=50002, pid=5000, logon=0xA002)


def host(*sessions: RemoteSession, strangers: tuple[RemoteSession, ...] = (), known: bool = True) -> HostAttribution:
    """A host on which `sessions` are ours and `strangers` are not, with all their telemetry."""
    made = HostAttribution()
    for session in (*sessions, *strangers):
        for one in session.telemetry():
            made.observed(observed(one))
    for session in sessions:
        made.detonated(session.detonation(planned(f"{session.tag}/1@ws1"), known=known))
    return made


def basis(found: Attribution | None) -> tuple[str, Basis] | None:
    return (found.detonation, found.basis) if found else None


@pytest.mark.parametrize("one", ONE.telemetry(), ids=lambda e: e.id)
def test_every_kind_of_event_of_a_session_is_exact(one: Event) -> None:
    assert basis(host(ONE).of_event(one)) == ("one/1@ws1", Basis.EXACT)


@pytest.mark.parametrize("one", [e for e in TWO.telemetry() if e.event_id != 4624], ids=lambda e: e.id)
def test_another_runs_events_are_nobodys(one: Event) -> None:
    assert host(ONE, strangers=(TWO,)).of_event(one) is None


@pytest.mark.parametrize("one", [TWO.engine(), TWO.command()], ids=lambda e: e.id)
def test_a_remote_shell_has_no_engine_so_that_one_is_another_sessions(one: Event) -> None:
    """A session that goes on by way of another host tells its keys at its end, after the alerts on its engine may have come."""
    made = HostAttribution()
    made.observed(observed(ONE.connection()))
    made.observed(observed(one))
    made.detonated(ONE.detonation(planned("one/1@ws1", action=WinRS(command="ipconfig.exe")), known=False))
    assert made.of_event(one) is None
    assert made.of_alert(alert("a", "r", one, raised=0.5)) is None


def test_a_strangers_logon_is_never_credited() -> None:
    """A session makes several logons, of which one is linked: a further one may be ours or the stranger's."""
    found = host(ONE, strangers=(TWO,)).of_event(TWO.logged_on())
    assert found is None or found.basis is Basis.AMBIGUOUS


@given(st.randoms(use_true_random=False), st.booleans())
def test_the_order_in_which_facts_arrive_changes_nothing(shuffler: random.Random, identity_first: bool) -> None:
    events = ONE.telemetry() + TWO.telemetry()
    shuffler.shuffle(events)
    made = HostAttribution()
    detonations = [s.detonation(planned(f"{s.tag}/1@ws1")) for s in (ONE, TWO)]
    for detonation in detonations if identity_first else ():
        made.detonated(detonation)
    for one in events:
        made.observed(observed(one))
    for detonation in () if identity_first else detonations:
        made.detonated(detonation)
    for session in (ONE, TWO):
        for one in session.telemetry():
            assert basis(made.of_event(one)) == (f"{session.tag}/1@ws1", Basis.EXACT)


def test_without_identity_a_lone_session_is_known_by_host_user_and_time() -> None:
    assert basis(host(ONE, known=False).of_event(ONE.child_process())) == ("one/1@ws1", Basis.WINDOW)


def test_without_identity_a_second_session_makes_it_ambiguous() -> None:
    assert basis(host(ONE, strangers=(TWO,), known=False).of_event(ONE.child_process())) == ("one/1@ws1", Basis.AMBIGUOUS)


def test_another_users_process_is_not_taken_for_ours() -> None:
    other = event("x", SECURITY, 4688, 0.5, {"NewProcessId": "0x999", "ProcessId": "0x888", "SubjectUserName": "somebody"})
    assert host(ONE).of_event(other) is None


def test_what_happened_before_or_long_after_is_not_ours() -> None:
    late = RemoteSession(tag="late", port=50001, pid=4000, logon=0xA001, start=60, end=61)
    made = host(ONE)
    assert made.of_event(late.child_process()) is None


def test_a_targets_clock_that_is_off_is_allowed_for() -> None:
    made = HostAttribution()
    fast = RemoteSession(tag="fast", port=50001, pid=4000, logon=0xA001, start=90, end=91)
    made.detonated(RemoteSession(tag="fast", port=50001, pid=4000, logon=0xA001).detonation(planned("fast/1@ws1"), clock_offset=90))
    assert basis(made.of_event(fast.child_process())) == ("fast/1@ws1", Basis.EXACT)


def test_our_own_identity_query_is_no_telemetry_of_the_step() -> None:
    made = host(ONE)
    footprint, step = ONE.script(FOOTPRINT, "fp"), ONE.script("Get-Date")
    made.observed(observed(footprint))
    made.observed(observed(step))
    found = [one.event.id for one in made.telemetry("one/1@ws1")]
    assert step.id in found
    assert footprint.id not in found


def _with(detonation: Detonation, **changes: Any) -> Detonation:
    assert detonation.footprint is not None
    return replace(detonation, footprint=replace(detonation.footprint, **changes))


def test_where_nothing_had_to_be_run_nothing_is_left_out() -> None:
    """A remote shell's host process is told by its creation: every event that has no script is then the step's."""
    made = HostAttribution()
    for one in ONE.telemetry():
        made.observed(observed(one))
    made.detonated(_with(ONE.detonation(planned("one/1@ws1")), script=""))
    assert [one.event.id for one in made.telemetry("one/1@ws1")] == sorted(
        (one.id for one in ONE.telemetry()), key=lambda name: next((e.time, e.id) for e in ONE.telemetry() if e.id == name)
    )


@pytest.mark.parametrize(("grain", "owned"), [(0.0, False), (0.9, True)])
def test_a_clock_that_was_read_coarsely_is_allowed_for(grain: float, owned: bool) -> None:
    """The event bears our pid and nothing lasting, 0.7 s after the session by the clock as it was read."""
    late = event("late", SECURITY, 4688, 1.7, {"NewProcessId": "0x999", "ProcessId": hex(ONE.pid)})
    made = HostAttribution()
    made.detonated(_with(ONE.detonation(planned("one/1@ws1")), grain=timedelta(seconds=grain)))
    found = made.of_event(late)
    assert (found is not None and found.basis is Basis.EXACT) is owned


def test_a_ticket_without_a_name_fits_whoever_acts() -> None:
    """Kerberos may take whoever the credential cache is of: then the user's name rules nothing out."""
    step = planned("one/1@ws1")
    nameless = replace(step, target=replace(step.target, user=""))
    made = HostAttribution()
    made.detonated(ONE.detonation(nameless, known=False))
    one = event("x", SECURITY, 4688, 0.5, {"NewProcessId": "0x999", "ProcessId": "0x888", "SubjectUserName": "purple"})
    assert basis(made.of_event(one)) == ("one/1@ws1", Basis.WINDOW)


def test_the_logon_id_is_joined_from_telemetry() -> None:
    assert host(ONE).logon_of("one/1@ws1") == "0xa001"


def test_an_alert_over_events_of_two_sessions_belongs_to_neither() -> None:
    made = host(ONE, TWO)
    both = alert("a", "r", ONE.connection(), TWO.child_process(), raised=2)
    assert basis(made.of_alert(both)) == ("one/1@ws1", Basis.AMBIGUOUS)


def test_an_alert_that_mixes_ours_with_a_strangers_is_ambiguous() -> None:
    made = host(ONE, strangers=(TWO,))
    both = alert("a", "r", ONE.connection(), TWO.child_process(), raised=2)
    assert basis(made.of_alert(both)) == ("one/1@ws1", Basis.AMBIGUOUS)


def test_an_alert_over_our_events_is_exact_and_says_by_which_keys() -> None:
    found = host(ONE).of_alert(alert("a", "r", ONE.connection(), ONE.child_process(), raised=2))
    assert found is not None
    assert found.basis is Basis.EXACT
    assert "client socket 10.77.0.5:50001" in found.keys
    assert "process 4000" in found.keys


def test_an_alert_that_names_no_event_is_known_by_time_alone() -> None:
    assert basis(host(ONE).of_alert(alert("a", "r", raised=2))) == ("one/1@ws1", Basis.WINDOW)
    assert basis(host(ONE, strangers=(TWO,)).of_alert(alert("a", "r", raised=2))) == ("one/1@ws1", Basis.AMBIGUOUS)
    assert host(ONE).of_alert(alert("a", "r", raised=-60)) is None


def test_a_pid_that_is_given_away_again_at_once_confuses_nothing() -> None:
    """Three sessions in a row with one pid, the last of them another run's; each second belongs to one."""
    first = RemoteSession(tag="first", port=50001, pid=4000, logon=0xA001, start=0, end=1)
    second = RemoteSession(tag="second", port=50002, pid=4000, logon=0xA002, start=1.01, end=2)
    stranger = RemoteSession(tag="stranger", port=50003, pid=4000, logon=0xA003, start=2.01, end=3)
    made = host(first, second, strangers=(stranger,))
    for session in (first, second):
        for one in session.telemetry():
            assert basis(made.of_event(one)) == (f"{session.tag}/1@ws1", Basis.EXACT), one.id
    assert [made.of_event(one) for one in stranger.telemetry() if one.event_id != 4624] == [None] * 6


def test_a_childs_pid_that_goes_to_a_strangers_child_is_not_ours_any_more() -> None:
    """Our whoami has ended, our session goes on, and another run's program gets its pid in the very same moment."""
    taken = TWO.child_process()
    reused = event("reused", SECURITY, 4688, 0.6, {**taken.flat, "NewProcessId": hex(ONE.pid + 4)})
    shell = event(
        "shell", SYSMON, 1, 0.6, {"ProcessId": str(ONE.pid + 4), "ProcessGuid": "{g-x}", "ParentProcessGuid": "{g-y}", "LogonId": "0xa009"}
    )
    made = host(ONE, strangers=(TWO,))
    for one in (reused, shell):
        made.observed(observed(one))
        found = made.of_event(one)
        assert found is None or found.basis is Basis.AMBIGUOUS


@pytest.mark.parametrize("order", [1, -1])
def test_a_host_process_born_after_ours_told_its_pid_is_not_ours(order: int) -> None:
    """Another run's session gets our host's pid before our client has said goodbye; whichever is searchable first."""
    stranger = RemoteSession(tag="stranger", port=50003, pid=ONE.pid, logon=0xA003, start=0.9, end=2)
    made = HostAttribution()
    made.detonated(ONE.detonation(planned("one/1@ws1")))
    for one in (stranger.telemetry() + ONE.telemetry())[::order]:
        made.observed(observed(one))
    for one in ONE.telemetry():
        assert basis(made.of_event(one)) == ("one/1@ws1", Basis.EXACT), one.id
    for one in (stranger.host_process(), stranger.child_process(), stranger.engine(), stranger.connection()):
        assert made.of_event(one) is None, one.id


def sequence() -> Pattern:
    connection = And(items=(Test(field="EventID", op=Op.EQUALS, value=5156), Test(field="DestPort", op=Op.EQUALS, value=5985)))
    child = Test(field="ParentProcessName", op=Op.ENDS_WITH, value="\\wsmprovhost.exe")
    return Pattern(kind=PatternKind.SEQUENCE, stages=(Stage(condition=connection), Stage(condition=child)))


def test_a_pattern_belongs_to_whoever_completed_it_where_its_own_events_would_have_done() -> None:
    """On a busy host a stranger's connection stands before our program, in the place of ours."""
    made = host(ONE, strangers=(TWO,))
    mixed = alert("a", "r", TWO.connection(), ONE.child_process(), raised=2)
    found = made.of_alert(mixed, sequence())
    assert found is not None
    assert (found.detonation, found.basis) == ("one/1@ws1", Basis.EXACT)
    assert found.keys[-1] == "its own events alone make the pattern"


def test_a_pattern_that_another_session_completed_is_nobodys_here() -> None:
    mixed = alert("a", "r", ONE.connection(), TWO.child_process(), raised=2)
    assert host(ONE, strangers=(TWO,)).of_alert(mixed, sequence()) is None
    assert basis(host(ONE, TWO).of_alert(mixed, sequence())) == ("two/1@ws1", Basis.EXACT)


def test_a_pattern_that_our_own_events_do_not_make_is_ambiguous() -> None:
    made = host(ONE, strangers=(TWO,))
    twice = replace(sequence(), stages=(sequence().stages[0], *sequence().stages))
    mixed = alert("a", "r", TWO.connection(), ONE.connection(), ONE.child_process(), raised=2)
    assert basis(made.of_alert(mixed, twice)) == ("one/1@ws1", Basis.AMBIGUOUS)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_child_that_is_seen_before_its_host_process_hides_it_from_nobody(first: int) -> None:
    """Sysmon alone tells guids: what the child's start grants must not speak against its parent's."""

    def started(name: str, after: float, pid: int, image: str, parent: int, parent_image: str) -> Event:
        flat: dict[str, FlatValue] = {
            "ProcessGuid": f"{{g-{pid}}}",
            "ProcessId": pid,
            "ParentProcessGuid": f"{{g-{parent}}}",
            "ParentProcessId": parent,
        }
        return event(name, SYSMON, 1, after, {**flat, "Image": image, "ParentImage": parent_image, "LogonId": "0xa001"})

    starts = [
        started("host", 0.1, 4000, r"C:\wsmprovhost.exe", 900, r"C:\svchost.exe"),
        started("child", 0.2, 4004, r"C:\whoami.exe", 4000, r"C:\wsmprovhost.exe"),
        started("grandchild", 0.3, 4008, r"C:\conhost.exe", 4004, r"C:\whoami.exe"),
    ]
    made = HostAttribution()
    made.detonated(ONE.detonation(planned("one/1@ws1")))
    for one in (*starts[first:], *starts[:first]):
        made.observed(observed(one))
    assert [basis(made.of_event(one)) for one in starts] == [("one/1@ws1", Basis.EXACT)] * 3
    assert made.logon_of("one/1@ws1") == "0xa001"
