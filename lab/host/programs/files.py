"""Programs about files and lines: certutil -hashfile, bitsadmin /list, findstr, find, sort, more, where."""

from __future__ import annotations

import fnmatch
import hashlib
import re

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


@program("findstr.exe")
def findstr(run: Run) -> int:
    """Lines with one of the given strings, literally: /i, /v, /n, /c:string, /l; regular expressions are not modelled."""
    options: set[str] = set()
    strings: list[str] = []
    files: list[str] = []
    for one in run.arguments:
        low = one.lower()
        if low.startswith("/c:"):
            strings.append(one[3:])
        elif low in ("/i", "/v", "/n", "/l"):
            options.add(low)
        elif one.startswith("/"):
            raise run.unmodelled()
        elif not strings:
            strings += one.split(" ")
        else:
            files.append(one)
    if not strings or ("/l" not in options and any(re.search(r"[.*\[\]^$\\<>]", text) for text in strings)):
        raise run.unmodelled()
    sources: list[tuple[str, list[str]]] = []
    for name in files:
        try:
            file = run.host.files.read(absolute(name, run.world.directory))
        except FileFault:
            run.complain(f"FINDSTR: Cannot open {name}")
            continue
        prefix = f"{name}:" if len(files) > 1 else ""
        sources.append((prefix, file.content.decode("utf-8", "replace").splitlines()))
    if not files:
        sources = [("", run.stdin.rest())]
    found = False
    fold = "/i" in options
    wanted = [text.lower() if fold else text for text in strings]
    for prefix, lines in sources:
        for number, line in enumerate(lines, 1):
            hit = any(text in (line.lower() if fold else line) for text in wanted)
            if hit != ("/v" in options):
                found = True
                run.write(f"{prefix}{f'{number}:' if '/n' in options else ''}{line}")
    return 0 if found else 1


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
