"""The emulated file system: one volume C: in memory, with Windows' path rules.

It knows paths, bytes and times; it never touches a file of the machine it runs on, and it knows no cmdlet and no error text.
"""

from __future__ import annotations

import ntpath
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lab.host.happenings import Image

MAX_PATH = 1024
MAX_DEPTH = 64
CAPACITY = 128 * 1024 * 1024
"""Bytes of content that the volume takes: more than any scenario writes, little enough for a hostile one."""
MAX_NODES = 20_000

_FORBIDDEN = re.compile(r'[<>"|?*\x00-\x1f:]')


class FileFault(Exception):
    """A file operation that Windows would refuse. `path` is what was asked for."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class PathNotFound(FileFault):
    """Nothing lies at the path, or its directory is missing."""


class PathExists(FileFault):
    """Something lies at the path already."""


class PathNotSupported(FileFault):
    """The path's form is not one that the volume can hold: another drive, a share, a forbidden character."""


class DirectoryNotEmpty(FileFault):
    """The directory has children and the removal was not recursive."""


class NotADirectory(FileFault):
    """A file lies where a directory is needed."""


class IsADirectory(FileFault):
    """A directory lies where a file is needed."""


class NotPermitted(FileFault):
    """The path holds a program that belongs to Windows: not even an administrator may change it, only its installer."""


class DiskFull(FileFault):
    """The volume's capacity is used up."""


@dataclass(slots=True, kw_only=True)
class File:
    """A file. `image` is what its version resource says where it is an executable; writing to it takes that away."""

    name: str
    content: bytes
    created: datetime
    modified: datetime
    image: Image | None = None


@dataclass(slots=True, kw_only=True)
class Directory:
    """A directory; `children` by lower-case name."""

    name: str
    created: datetime
    modified: datetime
    children: dict[str, File | Directory] = field(default_factory=dict)


Node = File | Directory


def absolute(path: str, base: str) -> str:
    """The full path that `path` means when the current directory is `base`. Raises `PathNotSupported`."""
    if len(path) > MAX_PATH:
        raise PathNotSupported(path)
    text = path.replace("/", "\\")
    if text.lower().startswith("filesystem::"):
        text = text[12:]
    if text.startswith("\\\\"):
        raise PathNotSupported(path)
    if re.match(r"^[A-Za-z]:$", text):
        text += "\\" if text[0].lower() != base[0].lower() else base[2:]
    if not re.match(r"^[A-Za-z]:", text):
        text = base[:2] + text if text.startswith("\\") else ntpath.join(base, text)
    elif text[2:3] != "\\":
        text = ntpath.join(base, text[2:])
    normal = ntpath.normpath(text)
    if _FORBIDDEN.search(normal[2:]) or normal.count("\\") > MAX_DEPTH:
        raise PathNotSupported(path)
    return normal[0].upper() + normal[1:]


class FileSystem:
    """Volume C:. Every path given to a method is absolute, as `absolute` makes it. Safe to use from several threads."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.on_created: Callable[[str, File], None] | None = None
        """Told of every file that comes about where none lay, with its path; not under the volume's lock but for copies."""
        self._now = now
        self._lock = threading.RLock()
        started = now()
        self._root = Directory(name="C:\\", created=started, modified=started)
        self._used = 0
        self._nodes = 1

    @property
    def used(self) -> int:
        """Bytes of content on the volume."""
        return self._used

    def find(self, path: str) -> Node | None:
        """What lies at the path, if anything."""
        with self._lock:
            node: Node = self._root
            for part in self._parts(path):
                if not isinstance(node, Directory):
                    return None
                below = node.children.get(part.lower())
                if below is None:
                    return None
                node = below
            return node

    def actual(self, path: str) -> str:
        """The path in the spelling of the volume. Raises `PathNotFound`."""
        with self._lock:
            node: Node = self._root
            names: list[str] = []
            for part in self._parts(path):
                below = node.children.get(part.lower()) if isinstance(node, Directory) else None
                if below is None:
                    raise PathNotFound(path)
                node = below
                names.append(below.name)
            return "C:\\" + "\\".join(names)

    def get(self, path: str) -> Node:
        """What lies at the path. Raises `PathNotFound`."""
        node = self.find(path)
        if node is None:
            raise PathNotFound(path)
        return node

    def read(self, path: str) -> File:
        """The file at the path. Raises `PathNotFound`, `IsADirectory`."""
        node = self.get(path)
        if isinstance(node, Directory):
            raise IsADirectory(path)
        return node

    def children(self, path: str) -> list[Node]:
        """The children of a directory: directories first, each in the order of names. Raises `PathNotFound`, `NotADirectory`."""
        with self._lock:
            node = self.get(path)
            if isinstance(node, File):
                raise NotADirectory(path)
            return sorted(node.children.values(), key=lambda child: (isinstance(child, File), child.name.lower()))

    def walk(self, path: str) -> Iterator[tuple[str, Node]]:
        """Everything below a directory with its full path, as a recursive listing shows it."""
        pending = [path]
        while pending:
            here = pending.pop(0)
            for child in self.children(here):
                full = ntpath.join(here, child.name)
                yield full, child
                if isinstance(child, Directory):
                    pending.append(full)

    def make_directory(self, path: str) -> Directory:
        """The directory at the path, with the ones above it, made where missing. Raises `NotADirectory`."""
        with self._lock:
            node = self._root
            for part in self._parts(path):
                below = node.children.get(part.lower())
                if below is None:
                    self._count(path)
                    below = Directory(name=part, created=self._now(), modified=self._now())
                    node.children[part.lower()] = below
                if isinstance(below, File):
                    raise NotADirectory(path)
                node = below
            return node

    def write(self, path: str, content: bytes, *, image: Image | None = None) -> File:
        """Put a file, over an older one. Raises `PathNotFound` (no such directory), `IsADirectory`, `DiskFull`."""
        with self._lock:
            directory = self._directory_of(path)
            name = ntpath.basename(path)
            old = directory.children.get(name.lower())
            if isinstance(old, Directory):
                raise IsADirectory(path)
            self._check_not_windows(path, old)
            grown = len(content) - (len(old.content) if old else 0)
            if self._used + grown > CAPACITY:
                raise DiskFull(path)
            if old is None:
                self._count(path)
            now = self._now()
            file = File(name=old.name if old else name, content=content, created=old.created if old else now, modified=now, image=image)
            directory.children[name.lower()] = file
            self._used += grown
        if old is None and self.on_created is not None:
            self.on_created(path, file)
        return file

    def remove(self, path: str, *, recurse: bool) -> None:
        """Take a node away. Raises `PathNotFound`, `DirectoryNotEmpty`."""
        with self._lock:
            node = self.get(path)
            if node is self._root:
                raise PathNotSupported(path)
            if isinstance(node, Directory) and node.children and not recurse:
                raise DirectoryNotEmpty(path)
            self._check_not_windows(path, node)
            if isinstance(node, Directory):
                below = list(self.walk(path))
                self._used -= sum(len(one.content) for _, one in below if isinstance(one, File))
                self._nodes -= len(below)
            else:
                self._used -= len(node.content)
            self._nodes -= 1
            del self._directory_of(path).children[node.name.lower()]

    def copy(self, source: str, target: str) -> File:
        """Copy one file to a path. Raises `PathNotFound`, `IsADirectory`, `DiskFull`."""
        with self._lock:
            file = self.read(source)
            copied = self.write(target, file.content, image=file.image)
            copied.modified = file.modified
            return copied

    def move(self, source: str, target: str) -> Node:
        """Move a node to a path where nothing lies. Raises `PathNotFound`, `PathExists`, `PathNotSupported`."""
        with self._lock:
            node = self.get(source)
            if self.find(target) is not None and target.lower() != source.lower():
                raise PathExists(target)
            if node is self._root or ((target.lower() + "\\").startswith(source.lower() + "\\") and target.lower() != source.lower()):
                raise PathNotSupported(target)
            self._check_not_windows(source, node)
            directory = self._directory_of(target)
            del self._directory_of(source).children[node.name.lower()]
            node.name = ntpath.basename(target)
            directory.children[node.name.lower()] = node
            return node

    def _check_not_windows(self, path: str, node: Node | None) -> None:
        """Refuse to touch a program of Windows, or a directory with one in it. The lock is held."""
        if not (path.lower() + "\\").startswith(("c:\\windows\\", "c:\\\\")):
            return
        if isinstance(node, File) and node.image is not None:
            raise NotPermitted(path)
        if isinstance(node, Directory):
            for below, one in self.walk(path):
                if isinstance(one, File) and one.image is not None:
                    raise NotPermitted(below)

    def _parts(self, path: str) -> list[str]:
        if path[:2].upper() != "C:":
            raise PathNotFound(path)
        return [part for part in path[2:].split("\\") if part]

    def _directory_of(self, path: str) -> Directory:
        node = self.get(ntpath.dirname(path))
        if isinstance(node, File):
            raise NotADirectory(path)
        return node

    def _count(self, path: str) -> None:
        if self._nodes >= MAX_NODES:
            raise DiskFull(path)
        self._nodes += 1
