"""Programs about files and lines: certutil -hashfile, bitsadmin /list, findstr, find, sort, more, where."""

from __future__ import annotations

import fnmatch
import hashlib
import ntpath
import re
from collections.abc import Iterator

from lab.host.files import File, FileFault, absolute
from lab.host.programs.base import Run, find_program, program

_HASHES = ("MD5", "SHA1", "SHA256", "SHA384", "SHA512")


@program("certutil.exe")
def certutil(run: Run) -> int:
    """-hashfile FILE [ALGORITHM]."""
    given = run.arguments
    if not 2 <= len(given) <= 3 or given[0].lower() not in ("-hashfile", "/hashfile"):
        raise run.unmodelled()
    name = given[2].upper() if len(given) > 2 else "SHA1"
    if name not in _HASHES:
        raise run.unmodelled()
    try:
        file = run.host.files.read(absolute(given[1], run.world.directory))
    except FileFault:
        run.write(
            "CertUtil: -hashfile command FAILED: 0x80070002 (WIN32: 2 ERROR_FILE_NOT_FOUND)",
            "CertUtil: The system cannot find the file specified.",
        )
        return -2147024894
    digest = hashlib.new(name.lower(), file.content, usedforsecurity=False).hexdigest()
    run.write(f"{name} hash of {given[1]}:", digest, "CertUtil: -hashfile command completed successfully.")
    return 0


@program("bitsadmin.exe")
def bitsadmin(run: Run) -> int:
    """/list: no jobs."""
    if [one.lower() for one in run.arguments] not in (["/list"], ["/list", "/allusers"]):
        raise run.unmodelled()
    run.write("", "BITSADMIN version 3.0", "BITS administration utility.", "(C) Copyright Microsoft Corp.", "", "Listed 0 job(s).")
    return 0


MAX_STARS = 4
"""Stars of one findstr pattern: more could take too long on a long line."""


def _expression(text: str, *, literal: bool, whole: str) -> str | None:
    """A findstr pattern as a regular expression: . * ^ $ [set] \\< \\> and \\x [findstr /?]; None for one with too many stars."""
    out: list[str] = []
    at = stars = 0
    while at < len(text):
        char = text[at]
        after = text[at + 1 : at + 2]
        end = text.find("]", at + 2) if char == "[" else -1
        if literal:
            out.append(re.escape(char))
        elif char == "\\" and after:
            out.append(r"\b" if after in "<>" else re.escape(after))
            at += 1
        elif end > 0:
            negated = after == "^"
            kept = re.sub(r"([\\\[&~|])", r"\\\1", text[at + 1 + negated : end])
            out.append(f"[{'^' if negated else ''}{kept}]")
            at = end
        elif char == "*" and out:
            stars += 1
            out.append("*")
        elif char in ".^$":
            out.append(char)
        else:
            out.append(re.escape(char))
        at += 1
    if stars > MAX_STARS:
        return None
    body = "".join(out)
    return f"^(?:{body})" if whole == "/b" else f"(?:{body})$" if whole == "/e" else f"^(?:{body})$" if whole == "/x" else body


@program("findstr.exe")
def findstr(run: Run) -> int:
    """Lines in which a string or a pattern is found. What reads patterns or names from files (/g, /f) is refused."""
    options: set[str] = set()
    strings: list[str] = []
    files: list[str] = []
    literal = False
    for one in run.arguments:
        low = one.lower()
        if low.startswith("/c:"):
            strings.append(one[3:].strip('"'))
            literal = "/r" not in options
        elif low.startswith("/") and len(low) > 1 and set(low[1:]) <= set("ivnmbexlrsop"):
            options |= {f"/{mark}" for mark in low[1:]}
        elif one.startswith("/"):
            raise run.unmodelled()
        elif not strings:
            strings += one.split(" ")
        else:
            files.append(one)
    if not strings:
        run.complain("FINDSTR: Bad command line")
        return 2
    literal = "/l" in options or (literal and "/r" not in options)
    whole = next((one for one in ("/x", "/b", "/e") if one in options), "")
    texts = [_expression(one, literal=literal, whole=whole) for one in strings if one]
    try:
        patterns = [re.compile(one, re.IGNORECASE if "/i" in options else 0) for one in texts if one is not None]
    except re.error:
        raise run.unmodelled() from None
    if len(patterns) < len(texts):
        raise run.unmodelled()
    found = False
    for prefix, lines in _sources(run, files, below="/s" in options):
        for number, line in enumerate(lines, 1):
            run.world.io.wait(0)
            if any(pattern.search(line[:MAX_FOUND]) for pattern in patterns) == ("/v" in options):
                continue
            found = True
            if "/m" in options:
                run.write(prefix.rstrip(":"))
                break
            run.write(f"{prefix}{f'{number}:' if '/n' in options else ''}{line}")
    return 0 if found else 1


MAX_FOUND = 8_192
"""Characters of a line that findstr looks at: its own limit."""


def _sources(run: Run, names: list[str], *, below: bool) -> Iterator[tuple[str, list[str]]]:
    """Where findstr looks: standard input, or files by name or pattern, with what stands before their lines."""
    if not names:
        yield "", run.stdin.rest()
        return
    wild = below or len(names) > 1 or any("*" in name or "?" in name for name in names)
    for name in names:
        try:
            head, pattern = ntpath.split(ntpath.join(run.world.directory, name))
            base = absolute(head, run.world.directory)
            held = (
                list(run.host.files.walk(base)) if below else [(ntpath.join(base, one.name), one) for one in run.host.files.children(base)]
            )
        except FileFault:
            held = []
        shown = ntpath.dirname(name)
        chosen = [(path, one) for path, one in held if isinstance(one, File) and fnmatch.fnmatchcase(one.name.lower(), pattern.lower())]
        if not chosen:
            run.complain(f"FINDSTR: Cannot open {name}")
        for path, one in chosen:
            if one.image is None:
                label = path if below else ntpath.join(shown, one.name)
                yield f"{label}:" if wild else "", one.content.decode("utf-8", "replace").splitlines()


@program("find.exe")
def find(run: Run) -> int:
    """Lines of standard input with a quoted text: /i, /v, /n, /c."""
    found = re.fullmatch(r'(?i)((?:\s*/[ivnc])*)\s*"([^"]*)"\s*', run.tail)
    if found is None:
        raise run.unmodelled()
    options = found[1].lower().replace("/", "").replace(" ", "")
    fold = "i" in options
    wanted = found[2].lower() if fold else found[2]
    hits = [
        (number, line)
        for number, line in enumerate(run.stdin.rest(), 1)
        if (bool(wanted) and wanted in (line.lower() if fold else line)) != ("v" in options)
    ]
    if "c" in options:
        run.write(str(len(hits)))
    else:
        run.write(*(f"[{number}]{line}" if "n" in options else line for number, line in hits))
    return 0 if hits else 1


@program("sort.exe")
def sort(run: Run) -> int:
    """Lines of standard input in order, whatever their case; /r the other way round."""
    options = [one.lower() for one in run.arguments]
    if options not in ([], ["/r"]):
        raise run.unmodelled()
    run.write(*sorted(run.stdin.rest(), key=str.lower, reverse=bool(options)))
    return 0


@program("more.com")
def more(run: Run) -> int:
    """Standard input as it is: there is no screen to fill."""
    if run.arguments:
        raise run.unmodelled()
    run.write(*run.stdin.rest())
    return 0


@program("where.exe")
def where(run: Run) -> int:
    """Programs in the current directory and in PATH, by name or pattern."""
    if len(run.arguments) != 1 or run.arguments[0].startswith("/"):
        raise run.unmodelled()
    wanted = run.arguments[0]
    found: list[str] = []
    if any(char in wanted for char in "*?"):
        path = next((value for name, value in run.world.environment.items() if name.lower() == "path"), "")
        for place in [run.world.directory, *path.split(";")]:
            try:
                held = run.host.files.children(absolute(place, run.world.directory))
            except FileFault:
                continue
            found += [
                f"{place.rstrip(chr(92))}\\{node.name}"
                for node in held
                if isinstance(node, File) and fnmatch.fnmatchcase(node.name.lower(), wanted.lower().replace("[", "[[]"))
            ]
    else:
        one = find_program(run.host, run.world.environment, run.world.directory, wanted, here=True)
        found = [one] if one is not None else []
    if not found:
        run.complain("INFO: Could not find files for the given pattern(s).")
        return 1
    run.write(*found)
    return 0
