"""reg.exe over the host's registry."""

from __future__ import annotations

import fnmatch

from lab.host.programs.base import Run, program
from lab.host.registry import (
    MAX_DATA,
    Data,
    Key,
    KeyNotFound,
    Kind,
    RegistryFault,
    Value,
    ValueNotFound,
    full_path,
    shown_path,
)

_NOT_FOUND = "ERROR: The system was unable to find the specified registry key or value."
_INVALID = "ERROR: Invalid syntax."
_DONE = "The operation completed successfully."


def _text(value: Value) -> str:
    match value.data:
        case int():
            return f"0x{value.data:x}"
        case bytes():
            return value.data.hex().upper()
        case tuple():
            return "\\0".join(value.data)
        case _:
            return value.data


def _line(value: Value) -> str:
    return f"    {value.name or '(Default)'}    {value.kind}    {_text(value)}"


@program("reg.exe")
def reg(run: Run) -> int:
    """query, add and delete; what copies, saves and loads whole hives is not modelled."""
    given = list(run.arguments)
    verb = given.pop(0).lower() if given else ""
    if verb not in ("query", "add", "delete"):
        raise run.unmodelled()
    if not given:
        run.complain(_INVALID, 'Type "REG QUERY /?" for usage.'.replace("QUERY", verb.upper()))
        return 1
    asked = given.pop(0).rstrip("\\")
    sid = run.process.logon.account.sid
    host_part, _, rest = asked.lstrip("\\").partition("\\") if asked.startswith("\\\\") else ("", "", asked)
    if host_part and host_part.lower() not in (run.host.name.lower(), run.host.fqdn.lower(), "localhost", run.host.ip):
        run.complain("ERROR: The network path was not found.")
        return 1
    try:
        path = full_path(rest, sid)
    except KeyNotFound:
        run.complain("ERROR: Invalid key name.", f'Type "REG {verb.upper()} /?" for usage.')
        return 1
    try:
        return {"query": _query, "add": _add, "delete": _delete}[verb](run, path, rest, given)
    except (KeyNotFound, ValueNotFound):
        run.complain(_NOT_FOUND)
        return 1
    except RegistryFault:
        run.complain("ERROR: Access is denied.")
        return 1


def _options(run: Run, given: list[str], with_value: tuple[str, ...], switches: tuple[str, ...]) -> dict[str, str] | None:
    held: dict[str, str] = {}
    while given:
        name = given.pop(0).lower().replace("-", "/", 1)
        if name in with_value and given:
            held[name] = given.pop(0)
        elif name in switches:
            held[name] = ""
        else:
            run.complain(_INVALID, 'Type "REG QUERY /?" for usage.')
            return None
    return held


def _query(run: Run, path: str, asked: str, given: list[str]) -> int:
    # /f may be given without a value only at the end; /d, /k, /c, /e narrow what it looks at.
    held = _options(run, given, ("/v", "/f", "/t", "/se"), ("/s", "/ve", "/k", "/d", "/c", "/e", "/z", "/reg:32", "/reg:64"))
    if held is None:
        return 1
    registry, sid = run.host.registry, run.process.logon.account.sid
    path = registry.actual(path)
    below = "/s" in held
    wanted = "" if "/ve" in held else held.get("/v")
    keys: list[tuple[str, Key]] = [(path, registry.get(path))]
    if below:
        keys += list(registry.walk(path))
    found = 0
    lines: list[str] = []
    for where, key in keys:
        run.world.io.wait(0)
        name = shown_path(where, asked, sid)
        values = [one for one in key.values.values() if _fits(one, wanted, held)]
        if "/f" in held:
            hit = "/d" not in held and _matches(where.rpartition("\\")[2], held) and where != path
            if hit or values:
                lines += ["", name]
            found += hit + len(values)
        elif values or wanted is None:
            if values or below or wanted is not None or where == path:
                lines += ["", name] if values or below else []
            found += len(values)
        lines += [_line(one) for one in values]
        if values:
            lines += [] if below else [""]
    children = (
        []
        if below or wanted is not None or "/f" in held
        else [shown_path(f"{path}\\{one.name}", asked, sid) for one in registry.children(path)]
    )
    if wanted is not None and not found:
        raise ValueNotFound(path, wanted)
    if children:
        lines += ([""] if not lines else []) + children
    run.write(*lines)
    if "/f" in held or (below and wanted is not None):
        run.write("", f"End of search: {found} match(es) found.")
        return 0 if found else 1
    return 0


def _fits(value: Value, wanted: str | None, held: dict[str, str]) -> bool:
    if "/k" in held:
        return False
    if wanted is not None and not fnmatch.fnmatchcase(value.name.lower(), wanted.lower()):
        return False
    if "/t" in held and value.kind.lower() not in held["/t"].lower().split(","):
        return False
    return "/f" not in held or _matches(value.name, held) or _matches(_text(value), held)


def _matches(text: str, held: dict[str, str]) -> bool:
    pattern = held["/f"]
    if "/c" not in held:
        text, pattern = text.lower(), pattern.lower()
    return text == pattern if "/e" in held else fnmatch.fnmatchcase(text, f"*{pattern}*")


_KINDS = {one.value.lower(): one for one in Kind}


def _add(run: Run, path: str, asked: str, given: list[str]) -> int:
    held = _options(run, given, ("/v", "/t", "/d", "/s"), ("/ve", "/f", "/reg:32", "/reg:64"))
    if held is None:
        return 1
    registry = run.host.registry
    kind = _KINDS.get(held.get("/t", "REG_SZ").lower())
    if kind is None:
        run.complain(_INVALID, 'Type "REG ADD /?" for usage.')
        return 1
    data = _data(kind, held.get("/d", ""), held.get("/s", "\\0"))
    if data is None:
        run.complain("ERROR: The parameter is incorrect." if kind is not Kind.DWORD else _INVALID)
        return 1
    name = held.get("/v", "")
    key = registry.find(path)
    if "/v" in held or "/ve" in held:
        if key is not None and name.lower() in key.values and "/f" not in held:
            run.write(f"Value {name} exists, overwrite(Yes/No)? ")
            answer = (run.stdin.read_line() or "").strip().lower()
            if not answer.startswith("y"):
                run.complain("The operation was canceled by the user.")
                return 1
        registry.make(path)
        registry.set(path, name, kind, data)
    else:
        registry.make(path)
    run.write(_DONE, "")
    return 0


def _data(kind: Kind, text: str, separator: str) -> Data | None:
    """The text of /d as the kind has it, None where it does not fit."""
    if len(text) > MAX_DATA:
        return None
    match kind:
        case Kind.DWORD | Kind.QWORD:
            try:
                number = int(text or "0", 16 if text.lower().startswith("0x") else 10)
            except ValueError:
                return None
            return number if 0 <= number < 1 << (32 if kind is Kind.DWORD else 64) else None
        case Kind.BINARY | Kind.NONE:
            try:
                return bytes.fromhex(text)
            except ValueError:
                return None
        case Kind.MULTI:
            return tuple(part for part in text.split(separator) if part)
        case _:
            return text


def _delete(run: Run, path: str, asked: str, given: list[str]) -> int:
    held = _options(run, given, ("/v",), ("/ve", "/va", "/f", "/reg:32", "/reg:64"))
    if held is None:
        return 1
    registry = run.host.registry
    registry.get(path)
    if "/f" not in held:
        what = (
            f"the registry value {held['/v']}"
            if "/v" in held
            else f"the registry key {shown_path(path, asked, run.process.logon.account.sid)}"
        )
        run.write(f"{'Delete' if '/v' in held else 'Permanently delete'} {what} (Yes/No)? ")
        if not (run.stdin.read_line() or "").strip().lower().startswith("y"):
            run.complain("The operation was canceled by the user.")
            return 1
    if "/v" in held or "/ve" in held:
        registry.unset(path, held.get("/v", ""))
    elif "/va" in held:
        for value in registry.values(path):
            registry.unset(path, value.name)
    else:
        registry.remove(path, recurse=True)
    run.write(_DONE, "")
    return 0
