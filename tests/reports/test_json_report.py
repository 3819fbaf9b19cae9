"""The JSON report: exact there and back, valid by its schema, whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model.facts import Event, Execution, Failure, Socket
from harness.model.intent import Connect, EnterPSSession, InvokeCommand
from harness.model.report import Report
from harness.reports.json import dump_report, load_report, read_report, report_schema
from tests.reports import sample_reports as sample

SAMPLES = [sample.clean, sample.gap, sample.outage, sample.held]
TEXTS = st.text(alphabet=st.characters(codec="utf-8"))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
LENGTHS = st.timedeltas(timedelta(days=-400), timedelta(days=400))


@pytest.mark.parametrize("make", SAMPLES)
def test_a_report_comes_back_equal(make: Callable[[], Report]) -> None:
    report = make()
    assert load_report(dump_report(report)) == report


@given(
    TEXTS,
    PLAIN,
    st.dictionaries(TEXTS, TEXTS | st.integers(-(2**53), 2**53) | st.booleans() | st.none() | st.lists(TEXTS)),
    MOMENTS,
    LENGTHS,
)
def test_any_values_come_back_equal(
    text: str, raw: object, flat: dict[str, str | int | bool | list[str] | None], moment: datetime, length: timedelta
) -> None:
    base = sample.clean()
    event = Event(id=text, channel=text, event_id=1, host="h", time=moment, provider=text, flat=flat, raw={"document": raw})
    (first, *_) = base.verdicts
    (sighting,) = first.sightings
    alert = replace(sighting.alert, raised_at=moment, events=(event,))
    verdict = replace(first, cause=text, sightings=(replace(sighting, alert=alert, time_to_detect=length),))
    report = replace(base, verdicts=(verdict,), started_at=moment)
    dumped = dump_report(report)
    assert load_report(dumped) == report
    # True, 1 and 1.0 are equal and not the same.
    assert dump_report(load_report(dumped)) == dumped


@given(st.dictionaries(TEXTS, PLAIN, max_size=3))
def test_actions_and_outcomes_keep_their_kind(arguments: dict[str, object]) -> None:
    actions: tuple[EnterPSSession | InvokeCommand | Connect, ...] = (
        InvokeCommand(script="x", arguments=arguments),  # type: ignore[arg-type]
        InvokeCommand(script="x"),
        EnterPSSession(lines=()),
        Connect(),
    )
    base = sample.clean()
    detonations = tuple(sample.detonation(sample.planned("s", number, sample.WS5, action), 1.0) for number, action in enumerate(actions, 1))
    empty = replace(detonations[0], outcome=Execution())
    failed = tuple(item.detonation for item in sample.outage().verdicts[-1:] if item.detonation is not None)
    report = replace(base, cleanups=(*detonations, empty, *failed))
    loaded = load_report(dump_report(report))
    assert loaded == report
    assert [type(item.planned.action) for item in loaded.cleanups[:4]] == [InvokeCommand, InvokeCommand, EnterPSSession, Connect]
    assert [type(item.outcome) for item in loaded.cleanups[4:]] == [Execution, Failure]


@pytest.mark.parametrize("make", SAMPLES)
def test_what_is_dumped_is_valid_by_the_published_schema(make: Callable[[], Report]) -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(json.loads(dump_report(make())))


def test_the_schema_tells_a_broken_report() -> None:
    validator = jsonschema.Draft202012Validator(report_schema())
    for key, value in (("version", 2), ("exit_code", "0"), ("verdicts", None), ("started_at", 5), ("extra", 1)):
        document = json.loads(dump_report(sample.clean()))
        document[key] = value
        assert list(validator.iter_errors(document)), key


def test_lengths_are_seconds_and_moments_are_utc() -> None:
    document = json.loads(dump_report(sample.clean()))
    assert document["verdicts"][0]["sightings"][0]["time_to_detect"] == 0.63
    assert document["started_at"] == "2026-11-21T11:02:03.120000Z"
    assert document["version"] == 1


def test_text_of_targets_does_nothing_to_a_terminal_or_to_a_reader() -> None:
    text = "\x1b[2J \x9b31m \u202ereversed \u2028 \ud800 é 😀"
    dumped = dump_report(sample.hostile(text))
    assert not any(character in dumped for character in "\x1b\x9b\u202e\u2028\ud800")
    assert load_report(dumped) == sample.hostile(text.replace("\ud800", "\ufffd"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "r.json:1:1: is not JSON"),
        ('{"version": 1,\n', "r.json:2:1: is not JSON"),
        ("[" * 100_000, "r.json: is not JSON"),
        ("[]", "r.json: is not a report"),
        ("{}", "r.json: is not a report"),
        ('{"version": 2}', "r.json: is a report of version 2, this harness reads 1"),
        ('{"version": true}', "r.json: is a report of version True"),
        ('{"version": 1}', "r.json: run_id: Field required"),
    ],
)
def test_what_is_no_report_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_report(text, "r.json")
    assert said in str(caught.value)


def test_a_report_with_a_wrong_part_names_it() -> None:
    document = json.loads(dump_report(sample.clean()))
    document["verdicts"][2]["outcome"] = "GUESSED"
    document["extra"] = 1
    with pytest.raises(UsageError) as caught:
        load_report(json.dumps(document), "r.json")
    assert [problem.what.split(":")[0] for problem in caught.value.problems] == ["verdicts.2.outcome", "extra"]


def test_no_secret_has_a_place_in_the_shape() -> None:
    assert "password" not in json.dumps(report_schema()).lower()
    assert Socket(ip="10.0.5.99", port=51514) in sample.detonation(sample.planned("s", 1, sample.WS5, Connect()), 0).identity.sockets


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"{}", "is not a report"),
        (b"[" * 100_000, "is not JSON"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_report_is_told_with_its_path(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "report.json"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"report\.json.*{said}"):
        read_report(path)


def test_a_report_that_is_too_big_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with path.open("wb") as stream:
        stream.truncate(65 * 1024 * 1024)
    with pytest.raises(UsageError, match="is bigger than 64 MB"):
        read_report(path)
