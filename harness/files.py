"""A file written whole or not at all. It must never know what is written."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write the text beside the file first and rename it then: on one file system, so that the rename is one act.

    `mode`: who may do what with the file from its first moment on, less what the process's umask takes away. Raises OSError.
    """
    if path.exists() and not path.is_file():
        # A pipe or /dev/stdout: there is nothing to replace, and a rename would take its place.
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
