"""Connections that break: whatever request is hit, a step reaches the machine at most once, and the error says how far it came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from harness.errors import ConnectFailed, ConnectionLost, StepTimeout, TransportError
from harness.model.facts import Execution
from harness.model.intent import Action, EnterPSSession, InvokeCommand
from harness.ports import Session
from harness.transports.credential import Timeouts
from lab.machine import ErrorRecord, PipelineIO, PipelineRequest
from tests.transports.psrp.cutting_proxy import Cut, cutting
from tests.transports.psrp.scripted_machine import Hang, LeapingClock, ScriptedMachine, says, served, target, transport

CALL = InvokeCommand(script="Get-Name")
TYPED = EnterPSSession(lines=("Get-Name", "$x"))
HASTY = Timeouts(connect=2.0, open=0.4, identify=0.4, stop=0.4, close=0.4)


@pytest.fixture
def machine() -> ScriptedMachine:
    return ScriptedMachine({"Get-Name": says("ws6"), "$x": says("1")})


@pytest.fixture
def port(machine: ScriptedMachine) -> Iterator[int]:
    with served(machine) as endpoint:
        yield endpoint.port


def whole(port: int, action: Action, timeouts: Timeouts | None = None) -> tuple[Execution | None, TransportError | None]:
    """Open, run, identify, close: what came of the run, and the first error."""
    session: Session | None = None
    execution: Execution | None = None
    try:
        session = transport(timeouts=timeouts).open(target(port), action)
        execution = session.run(0.4 if timeouts else 10, Event())
        session.identify()
    except TransportError as error:
        return execution, error
    finally:
        if session is not None:
            session.close()
    return execution, None


def requests_of(port: int, action: Action) -> int:
    with cutting(port) as proxy:
        execution, error = whole(proxy.port, action)
        assert error is None
        assert execution is not None
        return proxy.requests


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.HALFWAY, Cut.AFTER])
@pytest.mark.parametrize("action", [CALL, TYPED], ids=["call", "typed"])
def test_whichever_request_is_cut_nothing_runs_twice(machine: ScriptedMachine, port: int, action: Action, cut: Cut) -> None:
    total = requests_of(port, action)
    assert machine.texts.count("Get-Name") == 1
    for number in range(total):
        machine.requests.clear()
        with cutting(port, number, cut) as proxy:
            execution, error = whole(proxy.port, action)
        assert machine.texts.count("Get-Name") <= 1, (number, machine.texts)
        assert machine.texts.count("$x") <= 1
        assert isinstance(error, ConnectionLost) or (execution is not None and error is None), (number, error)
        if execution is not None:
            assert "Get-Name" in machine.texts
            assert execution.output[0] == "ws6"


def test_a_connection_that_breaks_after_the_end_takes_nothing_back(machine: ScriptedMachine, port: int) -> None:
    """Some request comes after the pipeline's end and before the identity; cutting it must leave the execution known."""
    outcomes = []
    for number in range(requests_of(port, CALL)):
        with cutting(port, number, Cut.BEFORE) as proxy:
            outcomes.append(whole(proxy.port, CALL))
    assert any(execution is not None and isinstance(error, ConnectionLost) for execution, error in outcomes)
    assert any(execution is None and isinstance(error, ConnectionLost) for execution, error in outcomes)


def test_an_endpoint_that_falls_silent_is_left_in_time(machine: ScriptedMachine, port: int) -> None:
    for number in range(requests_of(port, CALL)):
        machine.requests.clear()
        with cutting(port, number, Cut.SWALLOWED) as proxy:
            execution, error = whole(proxy.port, CALL, HASTY)
        assert machine.texts.count("Get-Name") <= 1
        assert isinstance(error, StepTimeout) or execution is not None, (number, error)


def test_a_broken_session_is_ended_on_the_target_over_another_connection(machine: ScriptedMachine) -> None:
    machine.plays["Get-Name"] = Hang()
    with served(machine) as endpoint, cutting(endpoint.port, requests_until_run(endpoint.port), Cut.AFTER) as proxy:
        session = transport().open(target(proxy.port), CALL)
        with pytest.raises(ConnectionLost):
            session.run(10, Event())
        session.close()
        assert machine.closed.acquire(timeout=10)
        assert endpoint.counts().shells_open == 0
        assert len(session.identity.sockets) == 2


def after(event: Event, act: Callable[[], None]) -> None:
    assert event.wait(10)
    act()


def requests_until_run(port: int) -> int:
    with cutting(port) as proxy:
        session = transport().open(target(proxy.port), CALL)
        opened = proxy.requests
        session.close()
    return opened


@pytest.mark.parametrize("action", [CALL, TYPED], ids=["call", "typed"])
def test_a_step_without_end_is_stopped_on_the_target(machine: ScriptedMachine, action: Action) -> None:
    hang = Hang()
    machine.plays["Get-Name"] = hang
    with served(machine) as endpoint:
        session = transport(clock=LeapingClock(hang.begun)).open(target(endpoint.port), action)
        with pytest.raises(StepTimeout, match=r"no end within 600 s"):
            session.run(600, Event())
        assert hang.stopped.wait(10)
        footprint = session.identify()  # the session itself is well, and can still say who it is
        session.close()
        assert footprint.script
        assert endpoint.counts().shells_open == 0
        assert machine.texts.count("Get-Name") == 1


def test_a_cancel_stops_the_step_on_the_target(machine: ScriptedMachine) -> None:
    hang = Hang()
    machine.plays["Get-Name"] = hang
    cancel = Event()
    with served(machine) as endpoint:
        session = transport().open(target(endpoint.port), CALL)
        canceller = Thread(target=after, args=(hang.begun, cancel.set))
        canceller.start()
        with pytest.raises(StepTimeout, match="interrupted"):
            session.run(600, cancel)
        canceller.join()
        assert hang.stopped.wait(10)
        session.close()
        assert endpoint.counts().shells_open == 0


def test_what_was_cancelled_before_is_not_sent(machine: ScriptedMachine, port: int) -> None:
    cancel = Event()
    cancel.set()
    session = transport().open(target(port), CALL)
    with pytest.raises(StepTimeout, match="interrupted"):
        session.run(10, cancel)
    session.close()
    assert machine.texts == []


def test_an_endpoint_that_dies_in_mid_step_is_a_lost_connection(machine: ScriptedMachine) -> None:
    dying = Event()

    def play(request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        dying.set()
        io.wait(600)
        return None

    machine.plays["Get-Name"] = play
    with served(machine) as endpoint:
        session = transport().open(target(endpoint.port), CALL)
        killer = Thread(target=after, args=(dying, endpoint.stop))
        killer.start()
        with pytest.raises(ConnectionLost):
            session.run(60, Event())
        killer.join()
        session.close()
        with pytest.raises(ConnectFailed):
            transport().open(target(endpoint.port), CALL)
