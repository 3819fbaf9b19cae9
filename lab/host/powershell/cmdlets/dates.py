"""Cmdlets about time: dates, spans, the time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from lab.host.powershell import operators
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse
from lab.host.powershell.values import format_datetime, like, parse_datetime, to_text
from lab.machine import PSObject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cmdlet(
    "Get-Date",
    at(0, "Date", Kind.VALUE),
    named("Format"),
    named("UFormat"),
    *(named(name, Kind.INT) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond")),
    *absent("DisplayHint"),
    module="Microsoft.PowerShell.Utility",
    output="System.DateTime",
)
def get_date(call: Call) -> Iterator[object]:
    """The host's time, or a given one, as a DateTime or as text. The host's time zone is UTC."""
    given = call.value("Date")
    moment = call.session.host.now() if given is None else given if isinstance(given, datetime) else parse_datetime(to_text(given))
    try:
        moment = moment.replace(
            year=call.number("Year", moment.year),
            month=call.number("Month", moment.month),
            day=call.number("Day", moment.day),
            hour=call.number("Hour", moment.hour),
            minute=call.number("Minute", moment.minute),
            second=call.number("Second", moment.second),
            microsecond=call.number("Millisecond") * 1000 if call.given("Millisecond") else moment.microsecond,
        )
    except (ValueError, OverflowError):
        raise refuse("a date that is none", activity=call.spec.name) from None
    if call.given("Format"):
        yield format_datetime(moment, call.text("Format"))
    elif call.given("UFormat"):
        yield _unix_format(call, moment)
    else:
        yield moment


def _unix_format(call: Call, moment: datetime) -> str:
    seconds = (moment.replace(tzinfo=UTC) - _EPOCH) / timedelta(seconds=1)
    known = {
        "Y": "yyyy",
        "m": "MM",
        "d": "dd",
        "H": "HH",
        "M": "mm",
        "S": "ss",
        "y": "yy",
        "A": "dddd",
        "a": "ddd",
        "B": "MMMM",
        "b": "MMM",
    }
    out: list[str] = []
    text = iter(call.text("UFormat"))
    for char in text:
        if char != "%":
            out.append(char)
            continue
        code = next(text, "")
        if code == "s":
            out.append(f"{seconds:.5f}")
        elif code in known:
            out.append(format_datetime(moment, known[code]))
        else:
            raise refuse(f"Get-Date -UFormat %{code}", activity=call.spec.name)
    return "".join(out)


@cmdlet(
    "New-TimeSpan",
    at(0, "Start", Kind.VALUE),
    at(1, "End", Kind.VALUE),
    *(named(name, Kind.INT) for name in ("Days", "Hours", "Minutes", "Seconds")),
    module="Microsoft.PowerShell.Utility",
    output="System.TimeSpan",
)
def new_time_span(call: Call) -> Iterator[object]:
    """A span by its parts, or between two moments."""
    if call.given("Start") or call.given("End"):
        now = call.session.host.now()
        start, end = (_moment(call.value(name), now) for name in ("Start", "End"))
        yield operators.arithmetic("-", end, start)
        return
    parts = {name: call.number(name.capitalize()) for name in ("days", "hours", "minutes", "seconds")}
    yield operators.time_span(timedelta(**parts))


def _moment(value: object, now: datetime) -> datetime:
    if value is None:
        return now
    return value if isinstance(value, datetime) else parse_datetime(to_text(value)).replace(tzinfo=now.tzinfo)


def _zone() -> PSObject:
    zero = operators.time_span(timedelta())
    return PSObject(
        type_names=("System.TimeZoneInfo", "System.Object"),
        properties={
            "Id": "UTC",
            "DisplayName": "(UTC) Coordinated Universal Time",
            "StandardName": "Coordinated Universal Time",
            "DaylightName": "Coordinated Universal Time",
            "BaseUtcOffset": zero,
            "SupportsDaylightSavingTime": False,
        },
        text="(UTC) Coordinated Universal Time",
    )


@cmdlet("Get-TimeZone", at(0, "Name", Kind.TEXTS), named("Id", Kind.TEXTS), switch("ListAvailable"))
def get_time_zone(call: Call) -> Iterator[object]:
    """The host's time zone: UTC, the only one that it knows."""
    for wanted in call.texts("Id") + call.texts("Name"):
        if not like(wanted, "UTC") and not like("Coordinated Universal Time", wanted):
            raise refuse(f"the time zone {wanted}", activity=call.spec.name)
    yield _zone()


@cmdlet(
    "Set-Date", at(0, "Date", Kind.VALUE, mandatory=True), named("Adjust", Kind.VALUE), module="Microsoft.PowerShell.Utility", changes=True
)
def set_date(call: Call) -> Iterator[object]:
    """The clock is the lab's and stays."""
    raise refuse("another time than the lab's", activity=call.spec.name)
    yield  # the type of a cmdlet is a generator
