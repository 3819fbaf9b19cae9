"""Cmdlets about the event logs: they read what the host's own telemetry has written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from harness.events.windows import Level, WindowsEvent
from lab.host.logs import Log
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, refuse, shown
from lab.host.powershell.values import as_list, find_key, like, parse_datetime, to_int, to_text
from lab.machine import ErrorRecord, PSObject, PSValue

_WORDS = {Level.LOG_ALWAYS: "Information", Level.ERROR: "Error", Level.WARNING: "Warning", Level.INFORMATION: "Information"}
_GET = "Microsoft.PowerShell.Commands.GetWinEventCommand"
_NONE = "No events were found that match the specified selection criteria."


def record_object(event: WindowsEvent) -> PSObject:
    """An EventLogRecord."""
    values: list[PSValue] = [*(event.data.values() or event.strings)]
    properties: list[PSValue] = [
        PSObject(type_names=("System.Diagnostics.Eventing.Reader.EventProperty", "System.Object"), properties={"Value": one})
        for one in values
    ]
    return PSObject(
        type_names=(
            "System.Diagnostics.Eventing.Reader.EventLogRecord",
            "System.Diagnostics.Eventing.Reader.EventRecord",
            "System.Object",
        ),
        properties={
            "Message": event.message or "\r\n".join(f"{name}: {value}" for name, value in event.data.items()),
            "Id": event.event_id,
            "Version": event.version,
            "Qualifiers": None,
            "Level": int(event.level),
            "Task": event.task,
            "Opcode": event.opcode,
            "Keywords": event.keywords - (1 << 64) if event.keywords >= 1 << 63 else event.keywords,
            "RecordId": event.record_id,
            "ProviderName": event.provider,
            "ProviderId": event.provider_guid,
            "LogName": event.channel,
            "ProcessId": event.process_id,
            "ThreadId": event.thread_id,
            "MachineName": event.computer,
            "UserId": event.user_sid,
            "TimeCreated": event.created,
            "ActivityId": event.activity_id,
            "LevelDisplayName": _WORDS.get(event.level, "Verbose"),
            "Properties": properties,
        },
        text="System.Diagnostics.Eventing.Reader.EventLogRecord",
    )


def _failed(call: Call, message: str, error_id: str, target: str = "", category: str = "ObjectNotFound") -> None:
    call.error(
        ErrorRecord(
            message=message, exception_type="System.Exception", error_id=f"{error_id},{_GET}", category=category, target=shown(target)
        )
    )


def _logs(call: Call, names: list[str]) -> list[Log]:
    found: list[Log] = []
    for name in names:
        fitting = [one for one in call.session.host.logs.all if like(one.name, name)]
        if not fitting:
            text = f'There is not an event log on the localhost computer that matches "{shown(name)}".'
            _failed(call, text, "NoMatchingLogsFound", name)
        found += fitting
    return found


Test = Callable[[WindowsEvent], bool]
_KEYS = ("logname", "providername", "path", "keywords", "id", "level", "starttime", "endtime", "userid", "data")


def _hash_tests(call: Call, table: dict[str, object]) -> tuple[list[Log], list[Test]]:
    names = [to_text(one) for one in as_list(_of(table, "LogName"))]
    providers = [to_text(one) for one in as_list(_of(table, "ProviderName"))]
    tests: list[Test] = []
    if not names and not providers:
        text = "The supplied hashtable cannot be converted: it must contain at least one of the keys LogName, ProviderName, Path."
        raise Terminating(
            ErrorRecord(
                message=text,
                exception_type="System.Exception",
                error_id=f"LogProviderOrPathNeeded,{_GET}",
                category="InvalidArgument",
                activity=call.spec.name,
            )
        )
    logs = _logs(call, names) if names else list(call.session.host.logs.all)
    if providers:
        tests.append(lambda event: any(like(event.provider, one) for one in providers))
    ids = [to_int(one) for one in as_list(_of(table, "ID"))]
    if ids:
        tests.append(lambda event: event.event_id in ids)
    levels = [to_int(one) for one in as_list(_of(table, "Level"))]
    if levels:
        tests.append(lambda event: int(event.level) in levels)
    start, end = (_moment(_of(table, name)) for name in ("StartTime", "EndTime"))
    if start is not None:
        tests.append(lambda event: event.created >= start)
    if end is not None:
        tests.append(lambda event: event.created <= end)
    users = [to_text(one) for one in as_list(_of(table, "UserID"))]
    if users:
        tests.append(lambda event: event.user_sid in users)
    keywords = [to_int(one, (-(1 << 63), (1 << 64) - 1), "System.Int64") & ((1 << 64) - 1) for one in as_list(_of(table, "Keywords"))]
    if keywords:
        tests.append(lambda event: any(event.keywords & one for one in keywords))
    data = [to_text(one) for one in as_list(_of(table, "Data"))]
    if data:
        tests.append(lambda event: any(one in (*event.data.values(), *event.strings) for one in data))
    if _of(table, "Path") is not None:
        raise refuse("Get-WinEvent of a file", activity=call.spec.name)
    for key in table:
        if key.lower() not in _KEYS and not key.lower().startswith("suppress"):
            wanted = [to_text(one) for one in as_list(table[key])]
            tests.append(_named_data(key, wanted))
    return logs, tests


def _named_data(key: str, wanted: list[str]) -> Test:
    def holds(event: WindowsEvent) -> bool:
        found = find_key(event.data, key)
        return found is not None and event.data[found] in wanted

    return holds


def _of(table: dict[str, object], name: str) -> object:
    key = find_key(table, name)
    return table[key] if key is not None else None


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else parse_datetime(to_text(value))
    return moment if moment.tzinfo is not None else moment.astimezone()


_XPATH_ID = re.compile(r"(?:EventID|EventID\s*)\s*=\s*(\d+)", re.IGNORECASE)
_XPATH_DATA = re.compile(r"Data\[@Name\s*=\s*['\"]([^'\"]+)['\"]\]\s*=\s*['\"]([^'\"]*)['\"]", re.IGNORECASE)
_XPATH_AGE = re.compile(r"timediff\(@SystemTime\)\s*<=?\s*(\d+)", re.IGNORECASE)


def xpath_tests(text: str, now: datetime) -> list[Test] | None:
    """The tests of an XPath query of the event log, as far as people write them: ids, named data, age. None for any other form."""
    rest = text
    tests: list[Test] = []
    ids = [int(one) for one in _XPATH_ID.findall(text)]
    if ids:
        tests.append(lambda event: event.event_id in ids)
    for name, value in _XPATH_DATA.findall(text):
        tests.append(_named_data(name, [value]))
    for age in _XPATH_AGE.findall(text):
        limit = int(age) / 1000
        tests.append(lambda event, limit=limit: (now - event.created).total_seconds() <= limit)  # type: ignore[misc]
    for pattern in (_XPATH_ID, _XPATH_DATA, _XPATH_AGE):
        rest = pattern.sub("", rest)
    left = re.sub(r"\*|\[|\]|\(|\)|\band\b|\bor\b|System|EventData|TimeCreated|Event|/|\s", "", rest, flags=re.IGNORECASE)
    return tests if not left and not (" or " in text.lower() and len(tests) > 1) else None


@cmdlet(
    "Get-WinEvent",
    at(0, "LogName", Kind.TEXTS),
    named("FilterHashtable", Kind.VALUE),
    named("FilterXPath"),
    named("FilterXml", Kind.VALUE),
    named("ListLog", Kind.TEXTS),
    named("ListProvider", Kind.TEXTS),
    named("ProviderName", Kind.TEXTS),
    named("MaxEvents", Kind.VALUE),
    named("ComputerName"),
    switch("Oldest"),
    switch("Force"),
    *absent("Path", "Credential"),
    module="Microsoft.PowerShell.Diagnostics",
    output="System.Diagnostics.Eventing.Reader.EventLogRecord",
)
def get_win_event(call: Call) -> Iterator[object]:
    """Records, the newest first, or the logs themselves."""
    host = call.session.host
    if call.given("ComputerName") and call.text("ComputerName").lower() not in ("localhost", ".", host.name.lower(), host.fqdn.lower()):
        raise refuse(f"Get-WinEvent -ComputerName {call.text('ComputerName')}", activity=call.spec.name)
    if call.given("FilterXml"):
        raise refuse("Get-WinEvent -FilterXml", activity=call.spec.name)
    if call.given("ListLog"):
        yield from (_log_object(one) for one in _logs(call, call.texts("ListLog")))
        return
    if call.given("ListProvider"):
        yield from _providers(call)
        return
    tests: list[Test] = []
    if call.given("FilterHashtable"):
        given = call.value("FilterHashtable")
        tables = [one for one in as_list(given) if isinstance(one, dict)]
        logs, tests = _hash_tests(call, tables[0] if tables else {})
    elif call.given("ProviderName"):
        logs, wanted = list(host.logs.all), call.texts("ProviderName")
        tests.append(lambda event: any(like(event.provider, one) for one in wanted))
    else:
        logs = _logs(call, call.texts_or_input("LogName", "LogName") or ["*"])
    if call.given("FilterXPath"):
        found_tests = xpath_tests(call.text("FilterXPath"), host.now())
        if found_tests is None:
            raise refuse(f"the query {shown(call.text('FilterXPath'))}", activity=call.spec.name)
        tests += found_tests
    if not logs:
        return
    records = [event for log in logs for event in host.logs.records(log) if all(test(event) for test in tests)]
    records.sort(key=lambda event: (event.created, event.record_id), reverse=not call.switch("Oldest"))
    if call.given("MaxEvents"):
        records = records[: to_int(call.value("MaxEvents"), (1, 1 << 31))]
    if not records:
        _failed(call, _NONE, "NoMatchingEventsFound")
    for event in records:
        yield record_object(event)


def _log_object(log: Log) -> PSObject:
    return PSObject(
        type_names=("System.Diagnostics.Eventing.Reader.EventLogConfiguration", "System.Object"),
        properties={
            "LogName": log.name,
            "LogType": "Administrative" if log.classic else "Operational",
            "LogMode": "Circular",
            "MaximumSizeInBytes": log.size,
            "RecordCount": len(log.records),
            "IsClassicLog": log.classic,
            "IsEnabled": log.enabled,
            "LogFilePath": log.path,
            "FileSize": 69_632 + 512 * len(log.records),
            "IsLogFull": False,
        },
        text=log.name,
    )


def _providers(call: Call) -> Iterator[object]:
    names = {event.provider: log.name for log in call.session.host.logs.all for event in call.session.host.logs.records(log)}
    for pattern in call.texts("ListProvider"):
        fitting = sorted(name for name in names if like(name, pattern))
        if not fitting:
            text = f'There is not an event provider on the localhost computer that matches "{shown(pattern)}".'
            _failed(call, text, "NoMatchingProvidersFound", pattern)
        for name in fitting:
            yield PSObject(
                type_names=("System.Diagnostics.Eventing.Reader.ProviderMetadata", "System.Object"),
                properties={"Name": name, "LogLinks": [names[name]]},
                text=name,
            )


@cmdlet(
    "Get-EventLog",
    at(0, "LogName"),
    at(1, "InstanceId", Kind.VALUE),
    named("Newest", Kind.INT),
    named("EntryType", Kind.TEXTS),
    named("Source", Kind.TEXTS),
    named("After", Kind.VALUE),
    named("Before", Kind.VALUE),
    named("Message"),
    switch("List"),
    switch("AsString"),
    *absent("ComputerName", "UserName", "Index", "AsBaseObject"),
    output="System.Diagnostics.EventLogEntry",
)
def get_event_log(call: Call) -> Iterator[object]:
    """Records of a classic log, the newest first."""
    host = call.session.host
    if call.switch("List") or not call.given("LogName"):
        if not call.switch("List"):
            raise call.missing("LogName")
        for log in host.logs.all:
            if log.classic:
                yield _classic_log(log)
        return
    held = host.logs.find(call.text("LogName"))
    if held is None or not held.classic:
        raise Terminating(
            call.tagged(
                ErrorRecord(
                    message=f"The event log '{shown(call.text('LogName'))}' on computer '.' does not exist.",
                    exception_type="System.InvalidOperationException",
                    error_id="System.InvalidOperationException",
                    category="NotSpecified",
                )
            )
        )
    ids = [to_int(one) for one in as_list(call.value("InstanceId"))]
    after, before = _moment(call.value("After")), _moment(call.value("Before"))
    count = 0
    for event in host.logs.records(held):
        kind = _entry_type(event)
        unfit = (
            (ids and event.event_id not in ids)
            or (call.given("Source") and not any(like(event.provider, one) for one in call.texts("Source")))
            or (call.given("EntryType") and kind.lower() not in (one.lower() for one in call.texts("EntryType")))
            or (after is not None and event.created <= after)
            or (before is not None and event.created >= before)
            or (call.given("Message") and not like(event.message, call.text("Message")))
        )
        if unfit:
            continue
        if call.given("Newest") and count >= call.number("Newest"):
            return
        count += 1
        yield _entry(event, kind)
    if not count:
        _failed(call, "No matches found", "GetEventLogNoEntriesFound")


def _entry_type(event: WindowsEvent) -> str:
    if event.channel == "Security":
        return "FailureAudit" if event.keywords & 0x10000000000000 else "SuccessAudit"
    return _WORDS.get(event.level, "Information")


def _entry(event: WindowsEvent, kind: str) -> PSObject:
    return PSObject(
        type_names=(
            f"System.Diagnostics.EventLogEntry#{event.channel}/{event.provider}/{event.event_id}",
            "System.Diagnostics.EventLogEntry",
        ),
        properties={
            "MachineName": event.computer,
            "Index": event.record_id,
            "EntryType": kind,
            "EventID": event.event_id,
            "InstanceId": event.event_id,
            "Message": event.message,
            "Source": event.provider,
            "Category": f"({event.task})",
            "CategoryNumber": event.task,
            "TimeGenerated": event.created,
            "TimeWritten": event.created,
            "UserName": None,
            "ReplacementStrings": [*(event.data.values() or event.strings)],
        },
        text="System.Diagnostics.EventLogEntry",
    )


def _classic_log(log: Log) -> PSObject:
    return PSObject(
        type_names=("System.Diagnostics.EventLog", "System.Object"),
        properties={
            "Log": log.name,
            "LogDisplayName": log.name,
            "MaximumKilobytes": log.size // 1024,
            "MinimumRetentionDays": 0,
            "OverflowAction": "OverwriteAsNeeded",
            "Entries": len(log.records),
        },
        text="System.Diagnostics.EventLog",
    )
