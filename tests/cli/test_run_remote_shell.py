"""The Windows Remote Shell's row of the truth table, by detonating and reading the verdicts; and what each cause of it is called."""

from __future__ import annotations

from harness.model.facts import Execution
from harness.model.verdicts import Basis, GateState, Outcome
from tests.cli.commands import Ended, UpLab, harness, write_scenario

SEQUENCE, CHILD, SEQUENCE_OF_SHELL, CHILD_OF_SHELL = (
    "2772264c-6fb9-4d9d-9014-b416eed21254",
    "5cc2cda8-f261-4d88-a2de-e9e193c86716",
    "1cd01db9-be24-4bef-8e7c-e923f0ff78ab",
    "79df3f68-dccb-48e9-9171-b75cbc37c51d",
)
HOST, ENGINE, CONNECTION, SOURCE = (
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "c539afac-c12a-46ed-b1bd-5a5567c9f045",
)
YES, NO = Outcome.DETECTED, Outcome.NOT_EXERCISABLE
ROW = {
    SEQUENCE: NO,
    SEQUENCE_OF_SHELL: YES,
    HOST: NO,
    CHILD: NO,
    CHILD_OF_SHELL: YES,
    ENGINE: NO,
    CONNECTION: YES,
    SOURCE: NO,
}


def ran(lab: UpLab, name: str, text: str) -> Ended:
    return harness("run", "--lab", "--target", "lab-ws1", str(write_scenario(lab.directory / name, text)), cwd=lab.directory, env=lab.env)


def test_ipconfig_is_seen_as_the_truth_table_says(lab: UpLab) -> None:
    expected = "".join(f"\n              - rule: {rule}" for rule in ROW)
    ended = ran(
        lab,
        "row.scenario.yml",
        f"""
        id: row
        title: A row
        steps:
          - name: ipconfig
            winrs: ipconfig.exe /all
            output: IPv4 Address
            expect:{expected}
        """,
    )
    assert ended.code == 0, ended.said
    verdicts = {verdict.expectation.rule: verdict for verdict in ended.full.verdicts}
    assert {rule: verdict.outcome for rule, verdict in verdicts.items()} == ROW
    sightings = [sighting for verdict in verdicts.values() for sighting in verdict.sightings]
    assert {sighting.basis for sighting in sightings} == {Basis.EXACT}
    assert all(
        sighting.transport_caused is (verdict.expectation.rule == CONNECTION)
        for verdict in verdicts.values()
        for sighting in verdict.sightings
    )
    assert {gate.state for gate in verdicts[CHILD_OF_SHELL].gates} == {GateState.PASSED}
    assert ended.full.unattributed == ()


def test_what_must_stay_quiet_does_and_a_failing_command_is_no_miss(lab: UpLab) -> None:
    quiet = "".join(f"\n              - {{rule: {rule}, fires: false}}" for rule in (HOST, CHILD, ENGINE, SEQUENCE))
    ended = ran(
        lab,
        "quiet.scenario.yml",
        f"""
        id: quiet
        title: Quiet
        steps:
          - name: all that can be said of a command
            winrs:
              command: findstr
              arguments: [/n, lab]
              stdin: "one\\r\\nthe lab\\r\\n"
              environment: {{HARNESS: "1"}}
              directory: C:\\Windows
              code_page: 437
            output: "2:the lab"
            expect:{quiet}
          - name: not a program
            winrs: nothing-of-that-name.exe
            expect:
              - rule: {CHILD_OF_SHELL}
        """,
    )
    first = {verdict.outcome for verdict in ended.full.verdicts if verdict.planned.startswith("quiet/1")}
    second = [verdict for verdict in ended.full.verdicts if verdict.planned.startswith("quiet/2")]
    assert first == {Outcome.QUIET}, ended.said
    assert [verdict.outcome for verdict in second] == [Outcome.INCONCLUSIVE]
    assert ended.code == 3


def test_the_null_action_and_a_cleanup_use_the_shell_too(lab: UpLab) -> None:
    ended = ran(
        lab,
        "null.scenario.yml",
        f"""
        id: empty-shell
        title: An empty shell
        steps:
          - name: nothing
            connect: {{transport: winrs}}
            expect:
              - rule: {CONNECTION}
              - {{rule: {CHILD_OF_SHELL}, fires: false}}
          - name: with a cleanup
            winrs: echo lab>C:\\Windows\\Temp\\null-action.txt
            cleanup:
              winrs: del C:\\Windows\\Temp\\null-action.txt
            expect:
              - rule: {CHILD_OF_SHELL}
        """,
    )
    assert ended.code == 0, ended.said
    sent = [text for text in lab.scripts() if "null-action.txt" in text]
    assert sent == ["echo lab>C:\\Windows\\Temp\\null-action.txt", "del C:\\Windows\\Temp\\null-action.txt"]
    (cleanup,) = ended.full.cleanups
    assert isinstance(cleanup.outcome, Execution)
    assert cleanup.outcome.exit_code == 0
    assert cleanup.identity.process_id is not None
    assert cleanup.identity.logon_id is not None
