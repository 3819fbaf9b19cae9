"""The reports of parts become the report of the whole; what is not all the parts of one plan, each once, is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core.cover import cover
from harness.core.merge import merge
from harness.core.standing import exit_code
from harness.errors import UsageError
from harness.model.intent import Shard
from harness.model.report import Report
from tests.reports import sample_reports as sample


def parts_of(whole: Report, count: int) -> dict[str, Report]:
    """What `count` runs would have reported, each of every count-th verdict."""
    made = {}
    titles = {row.rule: row.title for row in whole.coverage}
    for number in range(count):
        mine = whole.verdicts[number::count]
        made[f"part-{number + 1}.json"] = replace(
            whole,
            run_id=f"run-{number}",
            started_at=whole.started_at + timedelta(seconds=number),
            finished_at=whole.finished_at - timedelta(seconds=number),
            verdicts=mine,
            coverage=cover(mine, titles),
            exit_code=exit_code(mine, interrupted=False, whole=False, day=sample.START.date()),
            shard=Shard(number=number + 1, count=count, plan="p"),
        )
    return made


@pytest.mark.parametrize("whole", [sample.clean(), sample.gap(), sample.outage()], ids=["clean", "gap", "outage"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_parts_say_together_what_the_whole_said(whole: Report, count: int) -> None:
    parts = parts_of(whole, count)
    merged = merge(parts)
    assert sorted(map(repr, merged.verdicts)) == sorted(map(repr, whole.verdicts))
    statuses = {row.rule: (row.title, row.status, row.outcomes) for row in merged.coverage}
    expected = cover(whole.verdicts, {row.rule: row.title for row in whole.coverage})
    assert statuses == {row.rule: (row.title, row.status, row.outcomes) for row in expected}
    assert (merged.exit_code, merged.started_at, merged.finished_at) == (whole.exit_code, whole.started_at, whole.finished_at)
    assert merged.shard is None
    assert merged.unexpected == whole.unexpected
    assert {record.id for record in merged.rules} == {record.id for record in whole.rules}


def test_the_order_of_the_reports_changes_nothing() -> None:
    parts = parts_of(sample.gap(), 3)
    assert merge(dict(reversed(parts.items()))) == merge(parts)


def test_what_is_nobodys_in_one_part_may_be_anothers() -> None:
    whole = sample.gap()
    claimed = next(sighting.alert for verdict in whole.verdicts for sighting in verdict.sightings)
    loose = replace(claimed, id="nobodys")
    parts = {path: replace(part, unattributed=(claimed, loose)) for path, part in parts_of(whole, 2).items()}
    assert merge(parts).unattributed == (loose,)


def test_an_interrupted_part_interrupts_the_whole() -> None:
    parts = parts_of(sample.clean(), 2)
    parts["part-2.json"] = replace(parts["part-2.json"], interrupted=True, exit_code=130)
    merged = merge(parts)
    assert (merged.interrupted, merged.exit_code) == (True, 130)


def refused(parts: dict[str, Report]) -> str:
    with pytest.raises(UsageError) as error:
        merge(parts)
    return str(error.value)


def test_what_makes_no_whole_is_refused() -> None:
    parts = parts_of(sample.gap(), 3)
    first, second, third = parts.values()
    assert second.shard is not None
    assert "no report of 2/3 was given" in refused({"a": first, "c": third})
    assert "b: is part 1 again, beside a" in refused({"a": first, "b": first, "c": third})
    assert "b: is part 2/3 of another plan than a" in refused({"a": first, "b": replace(second, shard=replace(second.shard, plan="q"))})
    assert "b: is part 2/4 of another plan" in refused({"a": first, "b": replace(second, shard=replace(second.shard, count=4))})
    assert "b: is not the report of a part" in refused({"a": first, "b": replace(second, shard=None)})
    other = replace(second, environment=replace(second.environment, harness="0.0.1"))
    assert "b: is of harness 0.0.1" in refused({"a": first, "b": other, "c": third})
    changed = replace(second, rules=tuple(replace(record, definition="another") for record in second.rules))
    assert "b: judged by another text of rule" in refused({"a": first, "b": changed, "c": third})
