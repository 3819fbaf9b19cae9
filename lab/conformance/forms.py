"""The form of a value: what a reader can tell of it without knowing what it stands for.

Forms are about how Windows writes a thing (a process id in hexadecimal, a GUID in braces), never about which thing it is. This file must
not know any kind of event.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address


class Form(StrEnum):
    """How a value is written."""

    NONE = "none"  # nothing, or the dash that Windows writes for nothing
    GUID = "GUID in braces"
    BARE_GUID = "GUID"
    HEX = "hexadecimal"
    NUMBER = "number"
    CODE = "%%code"
    SID = "SID"
    TIME = "time"
    ADDRESS = "address"
    TRUTH = "true or false"
    PATH = "path"
    DEVICE = "device path"
    HASHES = "hashes"
    PRIVILEGES = "privileges"
    ACCOUNT = "account"
    TEXT = "text"


_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_FORMS: tuple[tuple[Form, re.Pattern[str]], ...] = tuple(
    (form, re.compile(pattern))
    for form, pattern in (
        (Form.NONE, r"-?"),
        (Form.GUID, rf"\{{{_GUID}\}}"),
        (Form.BARE_GUID, _GUID),
        (Form.HEX, r"0x[0-9A-Fa-f]{1,16}"),
        (Form.NUMBER, r"-?[0-9]{1,20}"),
        (Form.CODE, r"%%[0-9]{1,6}(?:\s+%%[0-9]{1,6})*"),
        (Form.SID, r"S-1(?:-[0-9]{1,20}){1,16}"),
        (Form.TIME, r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z?"),
        (Form.TRUTH, r"[Tt]rue|[Ff]alse"),
        (Form.HASHES, r"[A-Z0-9]{2,10}=[0-9A-Fa-f]{4,128}(?:,[A-Z0-9]{2,10}=[0-9A-Fa-f]{4,128})*"),
        (Form.PRIVILEGES, r"Se[A-Za-z]+Privilege(?:\s+Se[A-Za-z]+Privilege)*"),
        (Form.DEVICE, r"\\[Dd]evice\\[^\r\n]{1,1000}"),
        (Form.PATH, r"(?:[A-Za-z]:\\|\\\\)[^\r\n\"]{0,1000}"),
        (Form.ACCOUNT, r"[^\\/\r\n]{1,100}\\[^\\/\r\n]{1,100}"),
    )
)
_SHORT = 64
"""Characters of values that are remembered: they repeat, and longer ones seldom do."""

_LONGEST = 2_000
"""Characters beyond which a value is text, whatever it begins with."""


def form_of(value: str) -> Form:
    """The narrowest form that a value has."""
    if len(value) > _LONGEST:
        return Form.TEXT
    return _remembered(value) if len(value) <= _SHORT else _form_of(value)


def _form_of(value: str) -> Form:
    for form, pattern in _FORMS:
        if pattern.fullmatch(value):
            return form
    try:
        ip_address(value)
    except ValueError:
        return Form.TEXT
    return Form.ADDRESS


_remembered = lru_cache(maxsize=16_384)(_form_of)
