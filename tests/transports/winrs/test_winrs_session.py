"""Command lines in a remote shell: what is sent, what comes back, and that nothing is ever sent twice, whatever breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread, Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Response

from harness.clock import SystemClock
from harness.errors import ConnectFailed, ConnectionLost, StepTimeout, TransportError
from harness.model.facts import Execution, StreamKind, StreamRecord
from harness.model.intent import Action, Auth, Channel, Connect, InvokeCommand, Remoting, Target, WinRS
from harness.ports import Clock, Session
from harness.transports.credential import Credential, Timeouts
from harness.transports.line import TargetClock
from harness.transports.winrm import WinrmTransport
from lab.machine import CommandIO, CommandLine, PipelineStopped
from lab.winrm import Endpoint
from tests.fakes import FakeClock
from tests.lab.winrm.small_machine import PASSWORD, SmallMachine, endpoint
from tests.transports.psrp.cutting_proxy import Cut, cutting
from tests.transports.psrp.scripted_machine import LeapingClock

RUN = WinRS(command="greet you", stdin="one\r\ntwo\r\n")
HASTY = Timeouts(connect=2.0, open=0.4, identify=0.4, stop=0.3, close=0.3)


def greet(line: CommandLine, io: CommandIO) -> int:
    while (said := io.read_line()) is not None:
        io.stdout(f"{said}!\r\n")
    io.stderr("and a word beside\r\n")
    return 3


class Hang:
    """A line that ends only when it is stopped."""

    def __init__(self) -> None:
        self.begun = Event()
        self.stopped = Event()

    def __call__(self, line: CommandLine, io: CommandIO) -> int:
        self.begun.set()
        try:
            io.wait(600)
        except PipelineStopped:
            self.stopped.set()
            raise
        return 0


@pytest.fixture
def machine() -> SmallMachine:
    return SmallMachine(lines={"greet": greet})


@pytest.fixture
def served(machine: SmallMachine) -> Iterator[Endpoint]:
    with endpoint(machine) as started:
        yield started


def opened(
    port: int,
    action: Action = RUN,
    *,
    clock: Clock | None = None,
    timeouts: Timeouts | None = None,
    channel: Channel | None = None,
    password: str = PASSWORD,
) -> Session:
    target = Target(name="ws6", host="127.0.0.1", port=port, auth=Auth.NTLM, user="LAB\\purple", seen_from="10.0.0.5")
    transport = WinrmTransport(
        credentials={"ws6": Credential(user=target.user, password=password)},
        addresses={"ws6": "127.0.0.1"},
        channels={"ws6": channel or Channel()},
        clock=clock or SystemClock(),
        timeouts=timeouts,
    )
    return transport.open(target, action)


def whole(port: int, timeouts: Timeouts | None = None) -> tuple[Execution | None, TransportError | None]:
    """Open, run, identify, close: what came of the run, and the first error."""
    session: Session | None = None
    execution: Execution | None = None
    try:
        session = opened(port, timeouts=timeouts)
        execution = session.run(0.4 if timeouts else 10, Event())
        session.identify()
    except TransportError as error:
        return execution, error
    finally:
        if session is not None:
            session.close()
    return execution, None


def lines(machine: SmallMachine) -> list[str]:
    return [call for call in machine.calls if call.startswith("line ")]


def test_a_line_runs_with_all_that_belongs_to_it(machine: SmallMachine, served: Endpoint) -> None:
    action = WinRS(command="greet you", stdin="größe\r\n", environment={"A": "1"}, directory="C:\\Windows", code_page=850)
    session = opened(served.port, action)
    execution = session.run(10, Event())
    footprint = session.identify()
    session.close()
    assert execution == Execution(
        output=("größe!",), records=(StreamRecord(stream=StreamKind.ERROR, text="and a word beside"),), exit_code=3, forms=("line",)
    )
    assert session.exit_code == 3
    assert [call for call in machine.calls if call.startswith("open_command_shell")] == ["open_command_shell {'A': '1'} 'C:\\\\Windows'"]
    assert lines(machine) == ["line greet you"]
    assert session.identity.process_id == 4711
    assert [socket.ip for socket in session.identity.sockets] == ["10.0.0.5"]
    assert footprint.script == ""
    assert abs(footprint.clock_offset) <= footprint.grain <= timedelta(seconds=1)
    assert served.counts().shells_open == 0


def test_input_and_output_beyond_one_message_arrive_whole(machine: SmallMachine, served: Endpoint) -> None:
    text = "".join(f"{number:099}\r\n" for number in range(3000))
    session = opened(served.port, WinRS(command="greet", stdin=text))
    execution = session.run(30, Event())
    session.close()
    assert execution.output == tuple(f"{number:099}!" for number in range(3000))


def test_a_character_in_two_pieces_is_one(machine: SmallMachine, served: Endpoint) -> None:
    """The endpoint cuts its output at 4096 bytes, through whatever stands there."""

    def umlauts(line: CommandLine, io: CommandIO) -> int:
        io.stdout("x" + "ü" * 5000)
        return 0

    machine.lines["umlauts"] = umlauts
    session = opened(served.port, WinRS(command="umlauts"))
    assert session.run(10, Event()).output == ("x" + "ü" * 5000,)
    session.close()


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 1), (-1, -1), (-1073741510, -1073741510), (2**31 - 1, 2**31 - 1)])
def test_an_exit_code_is_windows_own(machine: SmallMachine, served: Endpoint, code: int, told: int) -> None:
    machine.lines["end"] = lambda line, io: code
    session = opened(served.port, WinRS(command="end"))
    assert session.run(10, Event()).exit_code == told
    session.close()


def test_silence_of_a_command_is_waited_out(machine: SmallMachine, served: Endpoint) -> None:
    """An operation that times out is asked again, and the line is not."""
    again = Event()

    def slow(line: CommandLine, io: CommandIO) -> int:
        assert again.wait(10)
        io.stdout("late\r\n")
        return 0

    machine.lines["slow"] = slow
    session = opened(served.port, WinRS(command="slow"), channel=Channel(operation_timeout=timedelta(seconds=1)))
    waker = Timer(1.3, again.set)  # more than the operation's time
    waker.start()
    assert session.run(20, Event()).output == ("late",)
    waker.join()
    session.close()
    assert lines(machine) == ["line slow"]


def test_a_locale_is_asked_for(machine: SmallMachine, served: Endpoint) -> None:
    heard: list[bytes] = []
    session = opened(served.port, WinRS(command="greet", stdin="x"), channel=Channel(locale="de-DE"))
    protocol = session._client._protocol  # type: ignore[attr-defined]
    heard.append(str(protocol.build_wsman_header("a", "b")).encode())
    session.close()
    assert heard[0].count(b"'@xml:lang': 'de-DE'") == 2


def test_the_null_action_runs_nothing(machine: SmallMachine, served: Endpoint) -> None:
    session = opened(served.port, Connect(transport=Remoting.WINRS))
    assert session.run(10, Event()) == Execution()
    session.identify()
    session.close()
    session.close()
    assert lines(machine) == []
    assert session.identity.process_id == 4711


def test_a_script_is_for_the_other_kind_of_session(machine: SmallMachine, served: Endpoint) -> None:
    session = opened(served.port, InvokeCommand(script="x"))
    session.close()
    assert "open_runspace" in machine.calls


# --- what breaks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.HALFWAY, Cut.AFTER])
def test_whichever_request_is_cut_nothing_runs_twice(machine: SmallMachine, served: Endpoint, cut: Cut) -> None:
    with cutting(served.port) as proxy:
        execution, error = whole(proxy.port)
        total = proxy.requests
    assert (execution is not None, error) == (True, None)
    seen: set[bool] = set()
    for number in range(total):
        machine.calls.clear()
        with cutting(served.port, number, cut) as proxy:
            execution, error = whole(proxy.port)
        assert len(lines(machine)) <= 1, (number, machine.calls)
        assert isinstance(error, ConnectionLost) or (execution is not None and error is None), (number, error)
        seen.add(execution is not None)
        if execution is not None:
            assert execution.output == ("one!", "two!")
    assert seen == {True, False}


def test_an_endpoint_that_falls_silent_is_left_in_time(machine: SmallMachine, served: Endpoint) -> None:
    with cutting(served.port) as proxy:
        whole(proxy.port)
        total = proxy.requests
    for number in range(total):
        machine.calls.clear()
        with cutting(served.port, number, Cut.SWALLOWED) as proxy:
            execution, error = whole(proxy.port, HASTY)
        assert len(lines(machine)) <= 1
        assert isinstance(error, StepTimeout) or execution is not None, (number, error)


def test_a_line_without_end_is_stopped_on_the_target(machine: SmallMachine, served: Endpoint) -> None:
    machine.lines["hang"] = hang = Hang()
    session = opened(served.port, WinRS(command="hang"), clock=LeapingClock(hang.begun))
    with pytest.raises(StepTimeout, match=r"no end within 600 s"):
        session.run(600, Event())
    assert hang.stopped.wait(10)
    session.close()
    assert served.counts().shells_open == 0
    assert lines(machine) == ["line hang"]
    assert len(session.identity.sockets) == 2


def test_a_line_whose_start_was_not_answered_ends_with_its_shell(machine: SmallMachine, served: Endpoint) -> None:
    machine.lines["hang"] = hang = Hang()
    with cutting(served.port) as proxy:
        opened(proxy.port, WinRS(command="hang")).close()
        before = proxy.requests - 1  # the last one closed it
    with cutting(served.port, before, Cut.SWALLOWED) as proxy:
        session = opened(proxy.port, WinRS(command="hang"), clock=LeapingClock(hang.begun))
        with pytest.raises(StepTimeout):
            session.run(600, Event())
        assert hang.stopped.wait(10)
        session.close()
    assert served.counts().shells_open == 0
    assert lines(machine) == ["line hang"]


def test_a_cancel_stops_the_line_on_the_target(machine: SmallMachine, served: Endpoint) -> None:
    machine.lines["hang"] = hang = Hang()
    cancel = Event()
    session = opened(served.port, WinRS(command="hang"))
    canceller = Thread(target=_after, args=(hang.begun, cancel.set))
    canceller.start()
    with pytest.raises(StepTimeout, match="interrupted"):
        session.run(600, cancel)
    canceller.join()
    assert hang.stopped.wait(10)
    session.close()
    assert served.counts().shells_open == 0


def _after(event: Event, act: Callable[[], None]) -> None:
    assert event.wait(10)
    act()


def test_what_was_cancelled_before_is_not_sent(machine: SmallMachine, served: Endpoint) -> None:
    cancel = Event()
    cancel.set()
    session = opened(served.port)
    with pytest.raises(StepTimeout, match="interrupted"):
        session.run(10, cancel)
    session.close()
    assert lines(machine) == []


def test_an_endpoint_that_dies_in_mid_line_is_a_lost_connection(machine: SmallMachine) -> None:
    machine.lines["hang"] = hang = Hang()
    with endpoint(machine) as dying:
        session = opened(dying.port, WinRS(command="hang"))
        killer = Thread(target=_after, args=(hang.begun, dying.stop))
        killer.start()
        with pytest.raises(ConnectionLost):
            session.run(60, Event())
        killer.join()
        session.close()
        with pytest.raises(ConnectFailed):
            opened(dying.port)


def test_a_secret_in_the_output_is_not_told(machine: SmallMachine, served: Endpoint) -> None:
    def tell(line: CommandLine, io: CommandIO) -> int:
        io.stdout(f"{PASSWORD}\r\n")
        io.stderr(f"{PASSWORD}\r\n")
        return 0

    machine.lines["tell"] = tell
    session = opened(served.port, WinRS(command="tell"))
    execution = session.run(10, Event())
    session.close()
    assert execution.output == ("***",)
    assert [record.text for record in execution.records] == ["***"]


# --- the target's clock -----------------------------------------------------------------------------------------------------


def _answer(date: datetime, took: float) -> Response:
    response = Response()
    response.headers["Date"] = date.strftime("%a, %d %b %Y %H:%M:%S GMT")
    response.elapsed = timedelta(seconds=took)
    return response


@given(
    offset=st.floats(-5000, 5000),
    answers=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 0.5), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_the_targets_clock_is_never_farther_off_than_is_said(offset: float, answers: list[tuple[float, float, float]]) -> None:
    """An answer's Date is the target's clock somewhere between its being asked and its being heard, cut to whole seconds."""
    clock = FakeClock()
    told = TargetClock(clock)
    assert told.read(clock.now()) is None
    for pause, took, share in answers:
        clock.wait(pause + took)
        answered = clock.now() - timedelta(seconds=took * share) + timedelta(seconds=offset)
        told.told(_answer(answered.astimezone(UTC).replace(microsecond=0), took))
    read = told.read(clock.now())
    assert read is not None
    time, grain = read
    assert timedelta(0) <= grain <= timedelta(seconds=1.5)
    assert abs(time - (clock.now() + timedelta(seconds=offset))) <= grain + timedelta(milliseconds=1)


def test_an_answer_without_a_date_tells_nothing() -> None:
    told = TargetClock(FakeClock())
    told.told(Response())
    garbled = Response()
    garbled.headers["Date"] = "yesterday"
    told.told(garbled)
    assert told.read(datetime.now(UTC)) is None
