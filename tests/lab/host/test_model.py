"""The host's model: processes with consoles and parents, logons, and the file system with Windows' rules."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.host.files import (
    CAPACITY,
    Directory,
    DirectoryNotEmpty,
    DiskFull,
    File,
    FileFault,
    FileSystem,
    IsADirectory,
    NotADirectory,
    PathExists,
    PathNotFound,
    PathNotSupported,
    absolute,
)
from lab.host.images import executables
from lab.host.model import MAX_PROCESSES, Host, NotExecutable, ProcessLimit
from lab.machine import Account, Package
from tests.lab.host.powershell_bench import DAWN, PURPLE, Bench, Clock, Record

WHOAMI = "C:\\Windows\\System32\\whoami.exe"
CMD = "C:\\Windows\\System32\\cmd.exe"


def test_a_console_program_without_a_console_gets_a_conhost_of_its_own() -> None:
    bench = Bench()
    started = bench.host.start_process(parent=bench.worker, path=WHOAMI, command_line="whoami", logon=bench.logon, directory="C:\\Users")
    program, conhost = bench.record.processes
    assert program is started
    assert conhost.parent is started
    assert conhost.image.original_name == "CONHOST.EXE"
    assert conhost.command_line == "\\??\\C:\\Windows\\system32\\conhost.exe 0xffffffff -ForceV1"
    assert started.directory == "C:\\Users\\"


def test_a_console_program_started_from_a_console_shares_it() -> None:
    bench = Bench()
    shell = bench.host.start_process(parent=bench.worker, path=CMD, command_line="cmd", logon=bench.logon, directory="C:\\")
    child = bench.host.start_process(parent=shell, path=WHOAMI, command_line="whoami", logon=bench.logon, directory="C:\\")
    assert [one.image.original_name for one in bench.record.processes] == ["Cmd.Exe", "CONHOST.EXE", "whoami.exe"]
    assert child.parent is shell


def test_a_pid_is_not_given_again_soon() -> None:
    """Sessions side by side are told apart by their pids: a program that ended and the next session's host process do not share one."""
    bench = Bench()
    for _ in range(700):
        program = bench.host.start_process(parent=bench.worker, path=WHOAMI, command_line="w", logon=bench.logon, directory="C:\\")
        bench.host.end_process(program)
    pids = [one.pid for one in bench.record.processes]
    assert len(pids) == len(set(pids)) == 1_400  # each program has a console of its own


def test_ending_a_process_ends_its_console_and_frees_its_pid_once() -> None:
    bench = Bench()
    before = bench.host.processes
    started = bench.host.start_process(parent=bench.worker, path=WHOAMI, command_line="w", logon=bench.logon, directory="C:\\")
    bench.host.end_process(started)
    bench.host.end_process(started)
    assert bench.host.processes == before


def test_pids_are_multiples_of_four_and_unique() -> None:
    bench = Bench()
    for _ in range(200):
        bench.host.start_process(parent=bench.worker, path=WHOAMI, command_line="w", logon=bench.logon, directory="C:\\")
    pids = [one.pid for one in bench.host.processes]
    assert len(set(pids)) == len(pids)
    assert all(pid % 4 == 0 for pid in pids)


def test_the_process_tree_of_remoting_hangs_together() -> None:
    bench = Bench()
    assert bench.host.system.pid == 4
    assert bench.host.dcom_launch.command_line.endswith("-k DcomLaunch -p")
    assert bench.host.dcom_launch.parent is bench.host.service_control
    assert bench.worker.parent is bench.host.dcom_launch
    assert bench.host.lsass in bench.host.processes


def test_starting_from_a_file_that_is_no_program_fails_without_a_process() -> None:
    bench = Bench()
    before = bench.host.processes
    for path, fault in (("C:\\Windows\\win.ini", NotExecutable), ("C:\\no.exe", PathNotFound), ("C:\\Windows", IsADirectory)):
        with pytest.raises(fault):
            bench.host.start_process(parent=bench.worker, path=path, command_line="x", logon=bench.logon, directory="C:\\")
    assert bench.host.processes == before
    assert bench.record.processes == []


def test_a_fork_bomb_meets_a_limit() -> None:
    bench = Bench()
    while len(bench.host.processes) + 2 <= MAX_PROCESSES:
        bench.host.start_process(parent=bench.worker, path=WHOAMI, command_line="w", logon=bench.logon, directory="C:\\")
    with pytest.raises(ProcessLimit):
        bench.host.start_process(parent=bench.worker, path=WHOAMI, command_line="w", logon=bench.logon, directory="C:\\")


def test_logons_are_told_and_have_ids_of_their_own() -> None:
    bench = Bench()
    second = bench.host.new_logon(PURPLE, Package.KERBEROS)
    assert bench.record.logons == [bench.logon, second]
    assert second.logon_id > bench.logon.logon_id
    assert second.package is Package.KERBEROS
    assert second.logon_type == 3
    assert second.elevated


def test_an_account_that_is_no_administrator_has_no_elevated_token() -> None:
    bench = Bench()
    plain = bench.host.new_logon(Account(domain="LAB", name="plain", sid="S-1-5-21-1-2-3-1200"), Package.NTLM)
    assert not plain.elevated


def test_the_same_seed_gives_the_same_host() -> None:
    def built(seed: int) -> Host:
        return Host(
            name="WS6",
            domain="lab.example",
            ip="10.0.0.6",
            seen_from="10.0.0.2",
            accounts=[PURPLE],
            now=lambda: DAWN,
            random=random.Random(seed),
        )

    one, same, other = built(1), built(1), built(2)
    assert [process.pid for process in one.processes] == [process.pid for process in same.processes]
    assert one.machine_sid == same.machine_sid != other.machine_sid


def test_what_booted_before_the_witness_is_not_told() -> None:
    record = Record()
    Host(
        name="WS6",
        domain="",
        ip="10.0.0.6",
        seen_from="10.0.0.2",
        accounts=[],
        now=Clock().now,
        random=random.Random(1),
        witness=record,
    )
    assert record.processes == []


def test_every_executable_has_hashes_of_its_content_and_no_two_are_alike() -> None:
    held = executables()
    digests = {one.image.hashes["SHA256"] for one in held.values()}
    assert len(digests) == len(held)


# --- files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def volume() -> FileSystem:
    return FileSystem(Clock().now)


@pytest.mark.parametrize(
    ("path", "base", "full"),
    [
        ("x.txt", "C:\\Users", "C:\\Users\\x.txt"),
        ("..\\x", "C:\\Users\\a", "C:\\Users\\x"),
        ("\\x", "C:\\Users", "C:\\x"),
        ("c:/a/b", "C:\\", "C:\\a\\b"),
        ("C:", "C:\\Users", "C:\\Users"),
        ("C:x", "C:\\Users", "C:\\Users\\x"),
        (".", "C:\\Users", "C:\\Users"),
        ("..\\..\\..", "C:\\a", "C:\\"),
        ("FileSystem::C:\\a", "C:\\", "C:\\a"),
    ],
)
def test_paths_become_absolute(path: str, base: str, full: str) -> None:
    assert absolute(path, base) == full


@pytest.mark.parametrize("path", ["\\\\server\\share", "C:\\a|b", "C:\\a\x00b", "C:\\a:stream", "x" * 5000, "\\".join("abcd" * 40)])
def test_paths_that_the_volume_cannot_hold_are_refused(path: str) -> None:
    with pytest.raises(PathNotSupported):
        absolute(path, "C:\\")


@given(st.text(max_size=60))
def test_no_text_leads_out_of_the_volume(text: str) -> None:
    try:
        full = absolute(text, "C:\\Users\\purple")
    except PathNotSupported:
        return
    assert ".." not in full.split("\\")
    assert FileSystem(Clock().now).find(full) is None or full.rstrip("\\") == "C:" if full.startswith("C:") else True


def test_names_are_found_in_any_case_and_keep_their_own(volume: FileSystem) -> None:
    volume.make_directory("C:\\Lab")
    volume.write("C:\\LAB\\Note.txt", b"x")
    assert volume.actual("c:\\lab\\NOTE.TXT") == "C:\\Lab\\Note.txt"


def test_writing_over_a_program_takes_its_identity_away(volume: FileSystem) -> None:
    one = next(iter(executables().values()))
    volume.write("C:\\p.exe", one.content, image=one.image)
    volume.copy("C:\\p.exe", "C:\\q.exe")
    volume.write("C:\\p.exe", b"text")
    assert volume.read("C:\\p.exe").image is None
    assert volume.read("C:\\q.exe").image is one.image


Action = Callable[[FileSystem], object]


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (lambda v: v.get("C:\\no"), PathNotFound),
        (lambda v: v.write("C:\\no\\x", b""), PathNotFound),
        (lambda v: v.write("C:\\d", b""), IsADirectory),
        (lambda v: v.read("C:\\d"), IsADirectory),
        (lambda v: v.children("C:\\d\\f"), NotADirectory),
        (lambda v: v.make_directory("C:\\d\\f\\g"), NotADirectory),
        (lambda v: v.remove("C:\\d", recurse=False), DirectoryNotEmpty),
        (lambda v: v.remove("C:\\", recurse=True), PathNotSupported),
        (lambda v: v.move("C:\\d\\f", "C:\\d\\g"), PathExists),
        (lambda v: v.move("C:\\d", "C:\\d\\e"), PathNotSupported),
        (lambda v: v.get("D:\\x"), PathNotFound),
        (lambda v: v.write("C:\\big", b"x" * (CAPACITY + 1)), DiskFull),
    ],
)
def test_what_windows_refuses_is_refused(volume: FileSystem, action: Action, fault: type[FileFault]) -> None:
    volume.make_directory("C:\\d")
    volume.write("C:\\d\\f", b"1")
    volume.write("C:\\d\\g", b"2")
    with pytest.raises(fault):
        action(volume)


def test_a_removed_tree_gives_its_room_back(volume: FileSystem) -> None:
    volume.make_directory("C:\\a\\b")
    volume.write("C:\\a\\b\\f", b"x" * 1000)
    assert volume.used == 1000
    volume.remove("C:\\a", recurse=True)
    assert volume.used == 0
    assert volume.find("C:\\a") is None


def test_a_moved_tree_keeps_what_is_in_it(volume: FileSystem) -> None:
    volume.make_directory("C:\\a")
    volume.write("C:\\a\\f", b"x")
    assert isinstance(volume.move("C:\\a", "C:\\b"), Directory)
    assert isinstance(volume.find("C:\\b\\F"), File)
    assert volume.find("C:\\a") is None
