"""The emulated registry: keys and values in memory, with Windows' rules for names. It knows no cmdlet, no program and no error text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

MAX_KEYS = 20_000
MAX_VALUES = 50_000
MAX_DATA = 256 * 1024
"""Characters or bytes of one value."""
MAX_DEPTH = 64
MAX_NAME = 255
MAX_VALUE_NAME = 16_383

ROOTS = {
    "HKLM": "HKEY_LOCAL_MACHINE",
    "HKCU": "HKEY_CURRENT_USER",
    "HKU": "HKEY_USERS",
    "HKCR": "HKEY_CLASSES_ROOT",
    "HKCC": "HKEY_CURRENT_CONFIG",
}


class RegistryFault(Exception):
    """An operation that the registry refuses. `path` is the key that was asked for."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class KeyNotFound(RegistryFault):
    """There is no such key."""


class ValueNotFound(RegistryFault):
    """The key has no such value; `path` is the key, `name` the value's."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(path)
        self.name = name


class KeyHasChildren(RegistryFault):
    """The key has keys below it and the removal was not recursive."""


class KeyRefused(RegistryFault):
    """The name is none that a key may have, or the registry is full, or the key is a root."""


class Kind(StrEnum):
    """What a value holds, in the words of winnt.h."""

    TEXT = "REG_SZ"
    EXPAND = "REG_EXPAND_SZ"
    MULTI = "REG_MULTI_SZ"
    DWORD = "REG_DWORD"
    QWORD = "REG_QWORD"
    BINARY = "REG_BINARY"
    NONE = "REG_NONE"


class Act(StrEnum):
    """What is done to a key or to a value of it, in Sysmon's words."""

    CREATE_KEY = "CreateKey"
    DELETE_KEY = "DeleteKey"
    SET_VALUE = "SetValue"
    DELETE_VALUE = "DeleteValue"


Data = str | int | bytes | tuple[str, ...]
"""Text, a number, bytes, or several texts, as the kind says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of a key. The default value has an empty name."""

    name: str
    kind: Kind
    data: Data


@dataclass(slots=True, kw_only=True)
class Key:
    """A key in the spelling in which it was made; values and keys below it by lower-case name."""

    name: str
    written: datetime
    values: dict[str, Value] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)


class Registry:
    """The hives of one machine. Every path is `HKEY_...\\a\\b`; HKEY_CURRENT_USER is resolved by `full_path`. Safe from several threads.

    `on_changed` is told of every act, with the key's path in the registry's own spelling and the value that was set or taken away.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._keys = 0
        self._values = 0
        self.on_changed: Callable[[Act, str, Value | None], None] = lambda act, path, value: None
        roots = ("HKEY_LOCAL_MACHINE", "HKEY_USERS")
        self._roots = {name.lower(): Key(name=name, written=now()) for name in roots}

    def find(self, path: str) -> Key | None:
        """The key at the path, if there is one."""
        with self._lock:
            parts = _parts(path)
            node = self._roots.get(parts[0].lower())
            for part in parts[1:]:
                if node is None:
                    return None
                node = node.keys.get(part.lower())
            return node

    def get(self, path: str) -> Key:
        """The key at the path. Raises `KeyNotFound`."""
        node = self.find(path)
        if node is None:
            raise KeyNotFound(path)
        return node

    def actual(self, path: str) -> str:
        """The path in the registry's own spelling. Raises `KeyNotFound`."""
        with self._lock:
            parts = _parts(path)
            node = self._roots.get(parts[0].lower())
            names = [node.name] if node is not None else []
            for part in parts[1:]:
                node = node.keys.get(part.lower()) if node is not None else None
                if node is None:
                    raise KeyNotFound(path)
                names.append(node.name)
            if not names:
                raise KeyNotFound(path)
            return "\\".join(names)

    def children(self, path: str) -> list[Key]:
        """The keys below a key, in the order of names. Raises `KeyNotFound`."""
        with self._lock:
            return [held for _, held in sorted(self.get(path).keys.items())]

    def walk(self, path: str) -> Iterator[tuple[str, Key]]:
        """Everything below a key with its full path. Raises `KeyNotFound`."""
        for child in self.children(path):
            full = f"{path}\\{child.name}"
            yield full, child
            yield from self.walk(full)

    def values(self, path: str) -> list[Value]:
        """The values of a key in the order in which they were made. Raises `KeyNotFound`."""
        with self._lock:
            return list(self.get(path).values.values())

    def value(self, path: str, name: str) -> Value:
        """A value of a key. Raises `KeyNotFound`, `ValueNotFound`."""
        held = self.get(path).values.get(name.lower())
        if held is None:
            raise ValueNotFound(path, name)
        return held

    def make(self, path: str) -> Key:
        """The key at the path, with the ones above it, made where missing. Raises `KeyRefused`.

        One that there is already is told as created, too: whoever asks for it that way opens it, which Sysmon does not tell apart.
        """
        with self._lock:
            parts = _parts(path)
            node = self._roots.get(parts[0].lower())
            if node is None or len(parts) > MAX_DEPTH:
                raise KeyRefused(path)
            full, told = node.name, False
            for part in parts[1:]:
                below = node.keys.get(part.lower())
                if below is None:
                    if len(part) > MAX_NAME or self._keys >= MAX_KEYS:
                        raise KeyRefused(path)
                    self._keys += 1
                    below = node.keys[part.lower()] = Key(name=part, written=self._now())
                    self.on_changed(Act.CREATE_KEY, f"{full}\\{below.name}", None)
                    told = True
                node, full = below, f"{full}\\{below.name}"
            if not told:
                self.on_changed(Act.CREATE_KEY, full, None)
            return node

    def set(self, path: str, name: str, kind: Kind, data: Data) -> None:
        """Set a value of a key that there is. Raises `KeyNotFound`, `KeyRefused`."""
        with self._lock:
            key = self.get(path)
            size = len(data) if isinstance(data, str | bytes) else sum(map(len, data)) if isinstance(data, tuple) else 8
            new = name.lower() not in key.values
            if size > MAX_DATA or len(name) > MAX_VALUE_NAME or (new and self._values >= MAX_VALUES):
                raise KeyRefused(path)
            self._values += new
            value = key.values[name.lower()] = Value(name=name, kind=kind, data=data)
            key.written = self._now()
            self.on_changed(Act.SET_VALUE, self.actual(path), value)

    def unset(self, path: str, name: str) -> None:
        """Take a value away. Raises `KeyNotFound`, `ValueNotFound`."""
        with self._lock:
            key = self.get(path)
            value = key.values.pop(name.lower(), None)
            if value is None:
                raise ValueNotFound(path, name)
            self._values -= 1
            self.on_changed(Act.DELETE_VALUE, self.actual(path), value)

    def remove(self, path: str, *, recurse: bool) -> None:
        """Take a key away. Raises `KeyNotFound`, `KeyHasChildren`, `KeyRefused` for a root."""
        with self._lock:
            key = self.get(path)
            if key.keys and not recurse:
                raise KeyHasChildren(path)
            above, _, name = path.rstrip("\\").rpartition("\\")
            if not above:
                raise KeyRefused(path)
            full = self.actual(path)
            below = list(self.walk(full))
            self._keys -= 1 + len(below)
            self._values -= len(key.values) + sum(len(one.values) for _, one in below)
            del self.get(above).keys[name.lower()]
            for gone, _ in reversed(below):  # a key goes after those below it
                self.on_changed(Act.DELETE_KEY, gone, None)
            self.on_changed(Act.DELETE_KEY, full, None)


def full_path(path: str, sid: str) -> str:
    """A key's path from any of its spellings: HKLM\\a, HKLM:\\a, Registry::HKEY_LOCAL_MACHINE\\a.

    HKEY_CURRENT_USER is the hive of the user with this SID, HKEY_CLASSES_ROOT the machine's classes. Raises `KeyNotFound` for what
    begins with no root.
    """
    text = path.replace("/", "\\")
    for prefix in ("microsoft.powershell.core\\registry::", "registry::"):
        if text.lower().startswith(prefix):
            text = text[len(prefix) :]
    root, _, rest = text.partition("\\")
    name = ROOTS.get(root.rstrip(":").upper(), root.upper())
    rest = "\\".join(part for part in rest.split("\\") if part)
    match name:
        case "HKEY_CURRENT_USER":
            name = f"HKEY_USERS\\{sid}"
        case "HKEY_CLASSES_ROOT":
            name = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes"
        case "HKEY_CURRENT_CONFIG":
            name = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Hardware Profiles\\Current"
        case "HKEY_LOCAL_MACHINE" | "HKEY_USERS":
            pass
        case _:
            raise KeyNotFound(path)
    return f"{name}\\{rest}" if rest else name


def shown_path(path: str, asked: str, sid: str) -> str:
    """A full path as it is shown to whoever asked for it by another root: HKEY_CURRENT_USER for the user's own hive."""
    root = asked.replace("/", "\\").lower()
    for prefix in ("microsoft.powershell.core\\registry::", "registry::"):
        root = root.removeprefix(prefix)
    head = root.partition("\\")[0].rstrip(":")
    if head in ("hkcu", "hkey_current_user"):
        return "HKEY_CURRENT_USER" + path[len(f"HKEY_USERS\\{sid}") :]
    if head in ("hkcr", "hkey_classes_root"):
        return "HKEY_CLASSES_ROOT" + path[len("HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes") :]
    return path


def _parts(path: str) -> list[str]:
    return [part for part in path.split("\\") if part] or [""]
