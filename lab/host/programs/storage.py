"""Programs about files and their rights: tree, attrib, icacls, timeout, chcp, clip."""

from __future__ import annotations

import fnmatch
import ntpath

from lab.host.files import Directory, File, FileFault, absolute
from lab.host.programs.base import Run, program

MAX_TREE = 2_000


@program("TREE.COM")
def tree(run: Run) -> int:
    """Directories below a place, with their files where /f says so."""
    flags = {one.lower() for one in run.arguments if one.startswith("/")}
    paths = [one for one in run.arguments if not one.startswith("/")]
    if flags - {"/f", "/a"} or len(paths) > 1:
        raise run.unmodelled()
    try:
        base = absolute(paths[0] if paths else ".", run.world.directory)
        if not isinstance(run.host.files.get(base), Directory):
            raise FileFault(base)
    except FileFault:
        run.write("Invalid path - " + (paths[0] if paths else ""), "No subfolders exist ", "")
        return 1
    run.write("Folder PATH listing", "Volume serial number is 5AC1-7B0E", base.upper())
    plain = "/a" in flags
    count = 0

    def below(path: str, margin: str) -> None:
        nonlocal count
        children = run.host.files.children(path)
        folders = [one for one in children if isinstance(one, Directory)]
        if "/f" in flags:
            bar = ("|   " if plain else "│   ") if folders else "    "
            run.write(*(f"{margin}{bar}{one.name}" for one in children if isinstance(one, File)))
        for place, child in enumerate(folders):
            count += 1
            if count > MAX_TREE:
                raise run.unmodelled()
            last = place == len(folders) - 1
            mark = ("\\---" if last else "+---") if plain else ("└───" if last else "├───")
            run.write(f"{margin}{mark}{child.name}")
            below(ntpath.join(path, child.name), margin + ("    " if last else "|   " if plain else "│   "))

    below(base, "")
    if not count:
        run.write("No subfolders exist ", "")
    return 0


def _files(run: Run, pattern: str, *, below: bool) -> list[str]:
    """The paths that a pattern means. Raises `FileFault`."""
    head, name = ntpath.split(ntpath.join(run.world.directory, pattern.replace("/", "\\")))
    base = absolute(head, run.world.directory)
    found = [ntpath.join(base, one.name) for one in run.host.files.children(base)]
    if below:
        found += [path for path, _ in run.host.files.walk(base)]
    return [one for one in dict.fromkeys(found) if fnmatch.fnmatchcase(ntpath.basename(one).lower(), name.lower())]


@program("ATTRIB.EXE")
def attrib(run: Run) -> int:
    """Show attributes, or set and clear hidden, read-only and system."""
    changes = [one.lower() for one in run.arguments if one[:1] in "+-" and one[1:].lower() in ("r", "h", "s", "a")]
    flags = {one.lower() for one in run.arguments if one.startswith("/")}
    names = [one for one in run.arguments if one[:1] not in "+-/"]
    if flags - {"/s", "/d"} or len(names) > 1:
        raise run.unmodelled()
    try:
        paths = _files(run, names[0] if names else "*", below="/s" in flags)
    except FileFault:
        paths = []
    if not paths:
        run.write(
            f"File not found - {absolute(names[0], run.world.directory) if names and '*' not in names[0] else names[0] if names else ''}"
        )
        return 0
    for path in paths:
        node = run.host.files.get(path)
        for change in changes:
            is_set = change[0] == "+"
            if change[1] == "h":
                node.hidden = is_set
            elif change[1] == "s":
                node.system = is_set
            elif change[1] == "r" and isinstance(node, File):
                node.read_only = is_set
        if not changes and isinstance(node, File):
            marks = f"A  {'S' if node.system else ' '}{'H' if node.hidden else ' '}{'R' if node.read_only else ' '}"
            run.write(f"{marks:<21}{path}")
    return 0


@program("iCACLS.EXE")
def icacls(run: Run) -> int:
    """The rights to one file or directory; what changes them is not modelled."""
    if len(run.arguments) != 1:
        raise run.unmodelled()
    try:
        path = absolute(run.arguments[0], run.world.directory)
        node = run.host.files.get(path)
    except FileFault:
        run.complain(f"{run.arguments[0]}: The system cannot find the file specified.")
        run.write("Successfully processed 0 files; Failed processing 1 files")
        return 2
    inherit = "(OI)(CI)" if isinstance(node, Directory) else ""
    rights = (f"NT AUTHORITY\\SYSTEM:(I){inherit}(F)", f"BUILTIN\\Administrators:(I){inherit}(F)", f"BUILTIN\\Users:(I){inherit}(RX)")
    margin = " " * (len(run.arguments[0]) + 1)
    run.write(f"{run.arguments[0]} {rights[0]}", *(margin + one for one in rights[1:]), "")
    run.write("Successfully processed 1 files; Failed processing 0 files")
    return 0


@program("timeout.exe")
def timeout(run: Run) -> int:
    """/t SECONDS: refused where input is redirected, as in every remote session."""
    run.complain("ERROR: Input redirection is not supported, exiting the process immediately.")
    return 1


@program("CHCP.COM")
def chcp(run: Run) -> int:
    """The code page of the console."""
    if run.arguments and not run.arguments[0].isdigit():
        run.write("Parameter format not correct - " + run.arguments[0])
        return 1
    run.write(f"Active code page: {run.arguments[0] if run.arguments else '437'}")
    return 0


@program("clip.exe")
def clip(run: Run) -> int:
    """Takes its input; the session's clipboard is nobody's."""
    run.stdin.rest()
    return 0
