"""Readings that every shipper's form shares: the host's short name, times, and the unnamed strings of classic events.

It knows Windows' own field forms and nothing of any shipper's document.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address

LONGEST_NAME = 255
"""Characters of names that are remembered: DNS has none that are longer, and a hostile recording shall not fill the memory with its own."""

SYSMON = "microsoft-windows-sysmon"


def short_name(computer: str) -> str:
    """The machine's short name in lower case: one host logs under its short and its full name. An address stays whole."""
    return _remembered_short_name(computer) if len(computer) <= LONGEST_NAME else _short_name(computer)


def _short_name(computer: str) -> str:
    try:
        ip_address(computer)
    except ValueError:
        return computer.partition(".")[0].lower()
    return computer.lower()


_remembered_short_name = lru_cache(maxsize=1024)(_short_name)  # a recording has few hosts, and names theirs in every event


def iso_time(text: str) -> datetime:
    """An ISO 8601 time as UTC, cut to microseconds. Raises ValueError where it is none or bears no zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text!r} bears no zone")
    return time.astimezone(UTC)


def sysmon_time(provider: str, utc_time: object) -> datetime | None:
    """Sysmon's `UtcTime`, when the thing happened rather than when its record was written; None where it is not Sysmon's or not a time."""
    if provider.lower() != SYSMON or not isinstance(utc_time, str):
        return None
    try:
        return datetime.fromisoformat(utc_time).replace(tzinfo=UTC)
    except ValueError:
        return None


def joined(strings: Iterable[str]) -> str:
    """The unnamed strings of a classic event as the one value that Sigma calls `Data`."""
    return "\n".join(strings)
