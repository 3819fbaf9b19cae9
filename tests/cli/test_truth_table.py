"""The truth table of the lab: what each stimulus makes of each rule, by detonating it.

Stimuli that a scenario can be are judged by a whole run. What is not a scenario (a client on the host itself) is done to an endpoint with
the clients that others wrote, and its events are asked the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan
from winrm import Session

from harness.detect import Detector
from harness.events import winlogbeat
from harness.events.windows import WindowsEvent
from harness.model.verdicts import Outcome
from harness.rules.catalog import load_rules
from harness.rules.languages import rule_sources
from lab.host.happenings import Connection
from lab.host.machine import EmulatedMachine, emulated_host
from lab.process import RULE_PACK
from lab.winrm import Endpoint, EndpointAccount
from tests.cli.commands import Ended, UpLab, harness, write_scenario
from tests.lab.winrm.small_machine import PASSWORD, PURPLE

CHILD_AFTER, SHELL_CHILD_AFTER, HOST, CHILD, SHELL_CHILD, ENGINE, ACCEPTED, OPENED = RULES = (
    "2772264c-6fb9-4d9d-9014-b416eed21254",  # EQL: a connection, then a child of wsmprovhost.exe
    "1cd01db9-be24-4bef-8e7c-e923f0ff78ab",  # EQL: a connection, then a child of winrshost.exe
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "5cc2cda8-f261-4d88-a2de-e9e193c86716",
    "79df3f68-dccb-48e9-9171-b75cbc37c51d",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "c539afac-c12a-46ed-b1bd-5a5567c9f045",
)
YES, NO, SOURCE = Outcome.DETECTED, Outcome.QUIET, Outcome.NOT_EXERCISABLE
"""SOURCE: the rule reads what the host that opens a session logs, which from the harness's own machine is nobody."""

Cells = tuple[Outcome, ...]
_CMDLET: Cells = (NO, NO, YES, NO, NO, YES, YES, SOURCE)
_HOSTNAME: Cells = (YES, NO, YES, NO, NO, YES, YES, SOURCE)
_LISTED: Cells = (YES, NO, YES, YES, NO, YES, YES, SOURCE)

TABLE: Mapping[str, tuple[str, Cells]] = {
    "a cmdlet alone, in a session": ("enter_pssession: [Get-Service WinRM]", _CMDLET),
    "a cmdlet alone, by one call": ("invoke_command: {script: Get-Service WinRM}", _CMDLET),
    "hostname.exe, in a session": ("enter_pssession: [hostname.exe]", _HOSTNAME),
    "hostname.exe, by one call": ("invoke_command: {script: hostname.exe}", _HOSTNAME),
    "whoami.exe, in a session": ("enter_pssession: [whoami.exe]", _LISTED),
    "whoami.exe, by one call": ("invoke_command: {script: whoami.exe}", _LISTED),
    "powershell.exe, by one call": (
        "invoke_command: {script: powershell.exe -NoProfile -Command Get-Date}",
        (*_LISTED[:-1], NO),  # a PowerShell of the host's own could open a session: that it did not is proven
    ),
    "ipconfig in a remote shell": ("winrs: ipconfig.exe", (NO, YES, NO, NO, YES, NO, YES, SOURCE)),
}
BY_WAY_OF: Mapping[str, tuple[str, Cells]] = {
    name: (action, (*cells[:-1], YES)) for name, (action, cells) in TABLE.items() if action.startswith("invoke_command")
}
"""The same from one host of the lab to the other: the source's own log then has what c539afac reads."""

SCENARIOS = {"truth": ("", "lab-ws1", TABLE), "truth-by-way": ("via: lab-ws1\n", "lab-ws2", BY_WAY_OF)}
CELLS = [(scenario, stimulus, rule) for scenario, (_, _, table) in SCENARIOS.items() for stimulus in table for rule in RULES]


@pytest.fixture(scope="module")
def ended(lab: UpLab) -> Ended:
    """One run of all stimuli, every rule expected of each."""
    paths = []
    for scenario, (via, _, table) in SCENARIOS.items():
        text = f"id: {scenario}\ntitle: The truth table\ntechnique: T1021.006\n{via}steps:\n"
        for name, (action, cells) in table.items():
            text += f"  - name: {name}\n    {action}\n    expect:\n"
            for rule, cell in zip(RULES, cells, strict=True):
                text += f"      - rule: {rule}\n" + ("        fires: false\n" if cell is NO else "")
        paths.append(str(write_scenario(lab.directory / scenario, text)))
    ended = harness("run", *paths, "--lab", cwd=lab.directory, env=lab.env)
    assert ended.report is not None, ended.said
    return ended


@pytest.mark.parametrize(("scenario", "stimulus", "rule"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_cell(ended: Ended, scenario: str, stimulus: str, rule: str) -> None:
    _, target, table = SCENARIOS[scenario]
    step = f"{scenario}/{list(table).index(stimulus) + 1}@{target}"
    (verdict,) = (one for one in ended.full.verdicts if one.planned == step and one.expectation.rule == rule)
    assert verdict.outcome is table[stimulus][1][RULES.index(rule)], verdict.cause


# --- by other people's clients, and from the host itself ------------------------------------------------------------------


class Place:
    """A host that sees its driver at an address, its endpoint, and what it logs."""

    def __init__(self, seen_from: str) -> None:
        self.records: list[WindowsEvent] = []
        self.machine: EmulatedMachine = emulated_host(
            name="WS6",
            domain="lab.example",
            ip="10.77.0.16",
            seen_from=seen_from,
            accounts=[PURPLE],
            sink=self.records.append,
            now=lambda: datetime.now(UTC),
            seed=11,
        )
        self.endpoint = Endpoint(machine=self.machine, accounts=[EndpointAccount(account=PURPLE, password=PASSWORD)])

    def winrs(self, line: str) -> None:
        url = f"http://127.0.0.1:{self.endpoint.port}/wsman"
        session = Session(url, auth=("LAB\\purple", PASSWORD), transport="ntlm", server_cert_validation="ignore")
        assert session.run_cmd(line).status_code == 0

    def psrp(self, script: str) -> None:
        wsman = WSMan("127.0.0.1", port=self.endpoint.port, ssl=False, auth="negotiate", username="LAB\\purple", password=PASSWORD)
        with wsman, RunspacePool(wsman) as pool:
            shell = PowerShell(pool)
            shell.add_script(script)
            shell.invoke()
            assert not shell.had_errors

    def opens(self, address: str) -> None:
        """A program on the host connects to WinRM there."""
        witness, owner = self.machine.host.witness, self.machine.host.service_control
        assert witness is not None
        witness.connected(
            Connection(source_ip=address, source_port=50_000, destination_ip=address, destination_port=5985, initiated=True, owner=owner)
        )


@contextmanager
def place(seen_from: str) -> Iterator[Place]:
    made = Place(seen_from)
    made.endpoint.start()
    try:
        yield made
    finally:
        made.endpoint.stop()


def fired(records: list[WindowsEvent]) -> set[str]:
    """The rules of the table that the events of one host raise."""
    detector = Detector([rule for rule in load_rules([RULE_PACK], rule_sources()) if rule.id in RULES], lateness=None)
    events = sorted((winlogbeat.read(winlogbeat.render(one), f"{n}") for n, one in enumerate(records)), key=lambda one: one.time)
    hits = [hit for event in events for hit in detector.feed(event)]
    return {hit.rule.id for hit in (*hits, *detector.finish())}


WINRS_CELLS = {SHELL_CHILD_AFTER, SHELL_CHILD, ACCEPTED}

OTHERS: Mapping[str, tuple[str, str, str, frozenset[str]]] = {
    "WinRS, ipconfig": ("10.77.0.5", "winrs", "ipconfig", frozenset(WINRS_CELLS)),
    "PSRP, a cmdlet": ("10.77.0.5", "psrp", "Get-Service WinRM", frozenset({HOST, ENGINE, ACCEPTED})),
    "PSRP, whoami.exe": ("10.77.0.5", "psrp", "whoami.exe", frozenset({CHILD_AFTER, HOST, CHILD, ENGINE, ACCEPTED})),
    "from the same host, PSRP, whoami.exe": ("127.0.0.1", "psrp", "whoami.exe", frozenset({HOST, CHILD, ENGINE, ACCEPTED})),
    "from the same host, PSRP, a cmdlet": ("127.0.0.1", "psrp", "Get-Service WinRM", frozenset({HOST, ENGINE, ACCEPTED})),
    "from the same host over IPv6, PSRP, hostname.exe": ("::1", "psrp", "hostname.exe", frozenset({HOST, ENGINE})),
    "from the same host, WinRS, ipconfig": ("127.0.0.1", "winrs", "ipconfig", frozenset({SHELL_CHILD, ACCEPTED})),
}
"""By the driver's address as the host sees it: how, what, and the rules that fire. 13acf386 asks for the layer of IPv4 alone."""


@pytest.mark.parametrize("stimulus", list(OTHERS))
def test_a_row_by_clients_that_others_wrote(stimulus: str) -> None:
    seen_from, how, what, expected = OTHERS[stimulus]
    with place(seen_from) as here:
        if how == "winrs":
            here.winrs(what)
        else:
            here.psrp(what)
        if seen_from != "10.77.0.5":
            here.opens(seen_from)  # the client's own end, which is filtered as well
    assert fired(here.records) == expected


def test_the_host_that_opens_a_session_logs_its_own_end() -> None:
    with place("10.77.0.5") as here:
        here.opens("10.77.0.16")
    assert fired(here.records) == {OPENED}
